// Package train makes adapters: it fits LoRA factors and the embedding rows of
// Marking Tokens to examples, the base model frozen.
package train
