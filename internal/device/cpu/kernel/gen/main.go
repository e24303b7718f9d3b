// Command gen writes the assembly of the kernel package: one file a set.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	set := flag.String("set", "", "avx2, avx512, vnni or amx")
	flag.Parse()
	switch *set {
	case "avx2":
		generate(avx2, append(formatsAVX2(), avx2.fives()...))
		avx2.softmax()
		avx2.softmaxRows()
		avx2.merge()
		avx2.swiGLU()
		scaleAVX2()
		addAVX2()
		rotateAVX2()
		halvesAVX2()
		for m := 1; m <= avx2.tall; m++ {
			avx2.accumulateHalf(m)
			avx2.scoresInt8(m)
			avx2.outputsInt8(m)
		}
		int8AVX2()
		for _, m := range int16AVX2.heights() {
			int16AVX2.scores(m)
			int16AVX2.outputs(m, int16AVX2)
		}
		code16AVX2()
		weightsInt16AVX2()
		int16AVX2.matMul(6)
	case "avx512":
		generate(avx512, append(formatsAVX512(), avx512.fives()...))
		avx512.merge()
		avx512.swiGLU()
		weightsInt16AVX512()
	case "vnni":
		int8VNNI()
		for _, m := range int16VNNI.heights() {
			int16VNNI.scores(m)
			int16VNNI.outputs(m, int16OneVNNI, int16NarrowVNNI)
		}
		int16VNNI.matMul(12)
	case "amx":
		int8AMX()
		bf16AMX()
	default:
		log.Fatalf("no set %q", *set)
	}
	Generate()
}

func generate(s *isa, formats []format) {
	for m := 1; m <= s.tall; m++ {
		s.matMul(m)
	}
	for m := 1; m <= s.tall; m++ {
		s.accumulate(m)
	}
	for _, f := range formats {
		s.dequantize(f)
		s.matVec(f)
	}
	s.rmsNorm()
	s.peak()
}
