// Command gen writes the assembly of the kernel package: one file a set.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	set := flag.String("set", "", "avx2 or avx512")
	flag.Parse()
	switch *set {
	case "avx2":
		avx2()
	case "avx512":
		//avx512()
	default:
		log.Fatalf("no set %q", *set)
	}
	Generate()
}
