package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// gp is a general register, vec a vector register.
type (
	gp  int
	vec int
)

func (r gp) String() string { return fmt.Sprintf("R%d", int(r)) }

// String names the register as that of a scalar, whatever its size.
func (v vec) String() string { return fmt.Sprintf("F%d", int(v)) }

func (v vec) as(arrangement string) string { return fmt.Sprintf("V%d.%s", int(v), arrangement) }
func (v vec) s4() string                   { return v.as("S4") }
func (v vec) h8() string                   { return v.as("H8") }
func (v vec) b16() string                  { return v.as("B16") }

// list is v as the operand of a load or store of whole vectors.
func (v vec) list() string { return "[" + v.s4() + "]" }

func pair(a, b vec) string { return fmt.Sprintf("(%v, %v)", a, b) }

// mem is the operand at a displacement.
func mem(base gp, disp int) string {
	if disp == 0 {
		return fmt.Sprintf("(%v)", base)
	}
	return fmt.Sprintf("%d(%v)", disp, base)
}

func imm(n int) string { return fmt.Sprintf("$%d", n) }

// times4 is a register that counts f32 as the operand that counts their bytes.
func times4(r gp) string { return fmt.Sprintf("%v<<2", r) }

// general are the registers that a function may use: not the platform's, the
// assembler's and Go's own.
var general = []gp{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25}

const vectorRegisters = 32

// code and stubs are the files in the making; the others are of the function at
// hand: what is in use of the registers, where its arguments are, how many labels
// it has.
var (
	code, stubs         strings.Builder
	usedGP, usedVec     int
	arguments           map[string]string
	labels              int
	argument            = regexp.MustCompile(`(\w+) (\*?\w+)`)
	argumentsAndResults = regexp.MustCompile(`^\((.*?)\)(?: \((.*)\))?$`)
)

// function begins a function that keeps none of its pointers and has scratch
// bytes on the stack.
func function(name, signature, doc string, scratch int) {
	usedGP, usedVec, labels = 0, 0, 0
	arguments = map[string]string{}
	size := 0
	parts := argumentsAndResults.FindStringSubmatch(signature)
	for _, list := range parts[1:] {
		if list != "" {
			size = (size + 7) &^ 7
		}
		for _, a := range argument.FindAllStringSubmatch(list, -1) {
			bytes := 8
			if a[2] == "float32" {
				bytes = 4
			}
			size = (size + bytes - 1) / bytes * bytes
			arguments[a[1]] = fmt.Sprintf("%s+%d(FP)", a[1], size)
			size += bytes
		}
	}
	fmt.Fprintf(&stubs, "\n// %s %s\n//\n//go:noescape\nfunc %s%s\n", name, doc, name, signature)
	fmt.Fprintf(&code, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $%d-%d\n", name, signature, name, scratch, size)
}

// ins writes an instruction.
func ins(name string, operands ...any) {
	texts := make([]string, len(operands))
	for i, o := range operands {
		texts[i] = fmt.Sprint(o)
	}
	fmt.Fprintf(&code, "\t%-7s %s\n", name, strings.Join(texts, ", "))
}

// macro writes an instruction that the assembler has no name for: see
// neon_arm64.h.
func macro(name string, operands ...vec) {
	texts := make([]string, len(operands))
	for i, o := range operands {
		texts[i] = fmt.Sprint(int(o))
	}
	fmt.Fprintf(&code, "\t%s(%s)\n", name, strings.Join(texts, ", "))
}

func ret() { code.WriteString("\tRET\n") }

// newGP and newVec take a register, which is free again at the end of the scope.
func newGP() gp {
	usedGP++
	return general[usedGP-1]
}

func newVec() vec {
	if usedVec == vectorRegisters {
		panic("no vector register is left")
	}
	usedVec++
	return vec(usedVec - 1)
}

func vectors(n int) []vec {
	v := make([]vec, n)
	for i := range v {
		v[i] = newVec()
	}
	return v
}

// scope gives back the registers that body takes.
func scope(body func()) {
	g, v := usedGP, usedVec
	body()
	usedGP, usedVec = g, v
}

// param loads an argument.
func param(name string) gp {
	r := newGP()
	ins("MOVD", arguments[name], r)
	return r
}

// broadcastParam loads an f32 to all lanes.
func broadcastParam(name string) vec {
	v := newVec()
	ins("FMOVS", arguments[name], v)
	ins("VDUP", v.as("S[0]"), v.s4())
	return v
}

// returnFloat stores a result.
func returnFloat(v vec, name string) { ins("FMOVS", v, arguments[name]) }

func copyOf(r gp) gp {
	c := newGP()
	ins("MOVD", r, c)
	return c
}

// shifted returns r moved right by n bits.
func shifted(r gp, n int) gp {
	c := newGP()
	ins("LSR", imm(n), r, c)
	return c
}

func add(n int, r gp) { ins("ADD", imm(n), r) }

// rowsOf returns the addresses of n rows that begin at an argument, stride f32
// apart.
func rowsOf(base, stride string, n int) []gp {
	rows := []gp{param(base)}
	scope(func() {
		for range n - 1 {
			rows = append(rows, newGP())
		}
		if n > 1 {
			s := param(stride)
			for i := range rows[1:] {
				ins("ADD", times4(s), rows[i], rows[i+1])
			}
		}
	})
	usedGP += n - 1
	return rows
}

func zero(v vec) { ins("VEOR", v.b16(), v.b16(), v.b16()) }

func zeros(n int) []vec {
	v := vectors(n)
	for _, z := range v {
		zero(z)
	}
	return v
}

// constant returns a vector of bytes.
func constant(b uint8) vec {
	v := newVec()
	ins("VMOVI", imm(int(b)), v.b16())
	return v
}

func fma(a, b, sum vec) { ins("VFMLA", a.s4(), b.s4(), sum.s4()) }

// broadcast loads one f32 to all lanes and moves on by disp bytes.
func broadcast(from gp, disp int, v vec) {
	if disp == 0 {
		ins("VLD1R", mem(from, 0), v.list())
	} else {
		ins("VLD1R.P", mem(from, disp), v.list())
	}
}

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

func here(label string) { fmt.Fprintf(&code, "%s:\n", label) }

// loop runs body count times; count is used up. A count of zero runs it not at all.
func loop(count gp, body func()) {
	top, end := label("loop"), label("end")
	ins("CBZ", count, end)
	here(top)
	scope(body)
	ins("SUB", imm(1), count)
	ins("CBNZ", count, top)
	here(end)
}

// while runs body, which takes step from left, as long as left is not below it.
func while(left gp, step int, body func()) {
	top, end := label("while"), label("end")
	here(top)
	ins("CMP", imm(step), left)
	ins("BLT", end)
	scope(body)
	ins("SUB", imm(step), left)
	ins("JMP", top)
	here(end)
}

// ifBit runs body where a bit of r is set.
func ifBit(bit int, r gp, body func()) {
	end := label("skip")
	ins("TBZ", imm(bit), r, end)
	scope(body)
	here(end)
}

// write saves the files.
func write(set, out, stubsOut string) error {
	head := fmt.Sprintf("// Code generated by command: go run -C gen ./neon -set %s -out %s -stubs %s. DO NOT EDIT.\n\n", set, out, stubsOut)
	text := head + "#include \"textflag.h\"\n#include \"neon_arm64.h\"\n" + code.String()
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(stubsOut, []byte(head+"package kernel\n"+stubs.String()), 0o644)
}
