package tokenizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/flashback-lm/flashback/internal/tokenizer/jinja"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant", "tool" or "developer"
	Content string
}

var roles = []string{"system", "user", "assistant", "tool", "developer"}

// Chat gives the ids of a conversation in the model's chat template, behind the Lead, ending with the beginning of the assistant's turn when
// addGenerationPrompt is set. Special tokens that the template writes are recognised, those in contents are plain text. The
// error says which role, or what in the template, is not supported, or what the template refused.
func (t *Tokenizer) Chat(messages []Message, addGenerationPrompt bool) ([]int32, error) {
	if t.chatErr != nil {
		return nil, t.chatErr
	}
	if !t.HasSystemRole() {
		messages = withoutSystem(messages)
	}
	cover := t.chat.cover(messages)
	turns := make([]any, len(messages))
	for i, m := range messages {
		// A role is often a part of a special token, so it must not be free text.
		if !slices.Contains(roles, m.Role) {
			return nil, fmt.Errorf("tokenizer: message %d has the role %q; it must be one of %s", i+1, clip(m.Role), strings.Join(roles, ", "))
		}
		turns[i] = jinja.NewDict("role", m.Role, "content", cover.hide(m.Content))
	}
	text, err := t.render(turns, addGenerationPrompt)
	if err != nil {
		return nil, err
	}
	var ids []int32
	starts := true
	t.cut(t.written, text, true,
		func(text string) { ids, starts = t.appendText(ids, cover.reveal(text), false, starts), false },
		func(id int32) { ids, starts = append(ids, id), false })
	return t.WithLead(ids), nil
}

// HasSystemRole tells whether the chat template writes what a system message says. Where it does not, or refuses such a
// message, Chat puts the text in front of what the user says first.
func (t *Tokenizer) HasSystemRole() bool { return t.systemRole() }

func (t *Tokenizer) findSystemRole() bool {
	const said = "Be brief."
	user := jinja.NewDict("role", "user", "content", "Why?")
	if text, err := t.render([]any{jinja.NewDict("role", "system", "content", said), user}, true); err == nil && strings.Contains(text, said) {
		return true
	}
	_, err := t.render([]any{user}, true)
	return err != nil // it is not the system message that is wrong
}

// withoutSystem puts a system message that begins a conversation in front of the user's first one.
func withoutSystem(messages []Message) []Message {
	if len(messages) == 0 || messages[0].Role != "system" {
		return messages
	}
	system, rest := messages[0], slices.Clone(messages[1:])
	first := slices.IndexFunc(rest, func(m Message) bool { return m.Role == "user" })
	if first < 0 {
		return append([]Message{{Role: "user", Content: system.Content}}, rest...)
	}
	rest[first].Content = system.Content + "\n\n" + rest[first].Content
	return rest
}

// WithTemplate gives the tokenizer with another chat template, in Jinja. The error says what in it is not supported.
func (t *Tokenizer) WithTemplate(source string) (*Tokenizer, error) {
	other := *t
	other.config.ChatTemplate = source
	other.bindTemplate()
	return &other, other.chatErr
}

// bindTemplate reads the chat template. What depends on what it renders is found when it is asked for first.
func (t *Tokenizer) bindTemplate() {
	t.chat, t.chatErr = newChat(t.config.ChatTemplate, slices.Sorted(maps.Keys(t.marks)))
	t.ends = sync.OnceValue(t.findEnds)
	t.systemRole = sync.OnceValue(t.findSystemRole)
}

// render gives the text that the template makes of turns, each with a role and a content.
func (t *Tokenizer) render(turns []any, addGenerationPrompt bool) (string, error) {
	if t.chatErr != nil {
		return "", t.chatErr
	}
	variables := map[string]any{"messages": turns, "add_generation_prompt": addGenerationPrompt, "tools": nil, "documents": nil}
	for name, id := range map[string]int32{
		"bos_token": t.config.BOS, "eos_token": t.config.EOS, "unk_token": t.config.Unknown, "pad_token": t.config.Padding,
	} {
		if id >= 0 {
			variables[name] = t.config.Tokens[id]
		}
	}
	text, err := t.chat.template.Render(variables)
	if err != nil {
		return "", fmt.Errorf("the chat template: %w (--template FILE names another one)", err)
	}
	return text, nil
}

// Question gives the ids of a conversation whose last message is the user's, up to where the answer begins, and at which of
// them that message's content does.
func (t *Tokenizer) Question(messages []Message) (ids []int32, at int, err error) {
	last := len(messages) - 1
	if ids, err = t.Chat(messages, true); err != nil {
		return nil, 0, err
	}
	empty, err := t.Chat(append(messages[:last:last], Message{Role: messages[last].Role}), true)
	if err != nil {
		return nil, 0, err
	}
	for at < min(len(ids), len(empty)) && ids[at] == empty[at] {
		at++
	}
	return ids, at, nil
}

// chat is what a conversation is written with.
type chat struct {
	template *jinja.Template
	source   string
	heads    *trie    // the first two characters of each special token, or its only one
	firsts   []string // the first character of each, once
}

// maxFirsts bounds the characters that special tokens begin with; there are one or two in use.
const maxFirsts = 64

// newChat reads the chat template of a model whose tokens the template may write.
func newChat(source string, special []string) (*chat, error) {
	if source == "" {
		return nil, fmt.Errorf("the model has no chat template, so it may not have learnt to answer: name one with --template FILE, or write on with generate")
	}
	template, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("the chat template: %w (--template FILE names another one)", err)
	}
	c := &chat{template: template, source: source}
	for _, token := range special {
		n := firstLen(token)
		if first := token[:n]; !slices.Contains(c.firsts, first) {
			c.firsts = append(c.firsts, first)
		}
		if len(c.firsts) > maxFirsts {
			return nil, fmt.Errorf("tokenizer: special tokens begin with more than %d different characters", maxFirsts)
		}
		if n < len(token) {
			n += firstLen(token[n:])
		}
		c.heads = c.heads.with(token[:n], 0)
	}
	return c, nil
}

// cover keeps special tokens in contents from being recognised when they come out of the template. It replaces their first
// character by a private-use one that nothing else uses, one for one, so that the template sees the same lengths and, but
// for those tokens, the same text. After the template's own special tokens have been cut out, the characters are put back.
//
// A template may put contents together, or strip their blanks, and so complete a special token. Therefore it is enough for
// its first two characters to stand somewhere, or its first at the end.
type cover struct {
	chat    *chat
	stand   map[string]rune // what stands for each first character
	restore *strings.Replacer
}

func (c *chat) cover(messages []Message) *cover {
	used := func(s string) bool {
		return strings.Contains(c.source, s) || slices.ContainsFunc(messages, func(m Message) bool { return strings.Contains(m.Content, s) })
	}
	stand := map[string]rune{}
	var pairs []string
	free := rune(0x10fffd) // the end of the last private-use plane
	for _, first := range c.firsts {
		for used(string(free)) {
			free--
		}
		stand[first] = free
		pairs = append(pairs, string(free), first)
		free--
	}
	return &cover{c, stand, strings.NewReplacer(pairs...)}
}

// hide replaces the beginnings of special tokens in a content.
func (c *cover) hide(content string) string {
	var b strings.Builder
	end := len(strings.TrimRightFunc(content, unicode.IsSpace))
	done := 0
	for i := 0; i < len(content); {
		n := firstLen(content[i:])
		if r, ok := c.stand[content[i:i+n]]; ok {
			if _, head := c.chat.heads.longest(content[i:]); head > 0 || i+n >= end {
				b.WriteString(content[done:i])
				b.WriteRune(r)
				done = i + n
			}
		}
		i += n
	}
	b.WriteString(content[done:])
	return b.String()
}

// reveal puts the characters back.
func (c *cover) reveal(text string) string { return c.restore.Replace(text) }

// firstLen is the length of the first character of text, which is not empty.
func firstLen(text string) int {
	_, n := utf8.DecodeRuneInString(text)
	return n
}
