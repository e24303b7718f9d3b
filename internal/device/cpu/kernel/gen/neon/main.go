// Command neon writes the assembly of the kernel package for arm64: one file a
// set.
package main

import (
	"flag"
	"log"
)

func main() {
	set := flag.String("set", "", "neon or neondot")
	out := flag.String("out", "", "assembly to write")
	stubs := flag.String("stubs", "", "Go declarations to write")
	flag.Parse()
	switch *set {
	case "neon":
		for m := 1; m <= tall; m++ {
			matMul(m)
		}
		for m := 1; m <= tallSums; m++ {
			accumulate(m)
		}
		for m := 1; m <= tallSums; m++ {
			accumulateHalf(m)
		}
		for _, f := range formats {
			dequantize(f)
			matVec(f)
		}
		softmax()
		swiGLU()
		rmsNorm()
		scale()
		addRows()
		rotate()
		toHalf()
		fromHalf()
		quantize()
		int8Products("NEON", multiplyBytes)
		peak()
	case "neondot":
		int8Products("NEONDot", dotBytes)
	default:
		log.Fatalf("no set %q", *set)
	}
	if err := write(*set, *out, *stubs); err != nil {
		log.Fatal(err)
	}
}
