// Vector instructions that Go's assembler has no names for. Operands are numbers
// of vector registers in Go's order: the second source, the first, the result.

// Arithmetic of 4 f32, and bits.
#define FADD4S(vm, vn, vd)  WORD $(0x4E20D400 | (vm)<<16 | (vn)<<5 | (vd)) // FADD Vd.4S, Vn.4S, Vm.4S
#define FSUB4S(vm, vn, vd)  WORD $(0x4EA0D400 | (vm)<<16 | (vn)<<5 | (vd)) // FSUB Vd.4S, Vn.4S, Vm.4S
#define FMUL4S(vm, vn, vd)  WORD $(0x6E20DC00 | (vm)<<16 | (vn)<<5 | (vd)) // FMUL Vd.4S, Vn.4S, Vm.4S
#define FDIV4S(vm, vn, vd)  WORD $(0x6E20FC00 | (vm)<<16 | (vn)<<5 | (vd)) // FDIV Vd.4S, Vn.4S, Vm.4S
#define FMAX4S(vm, vn, vd)  WORD $(0x4E20F400 | (vm)<<16 | (vn)<<5 | (vd)) // FMAX Vd.4S, Vn.4S, Vm.4S
#define FMIN4S(vm, vn, vd)  WORD $(0x4EA0F400 | (vm)<<16 | (vn)<<5 | (vd)) // FMIN Vd.4S, Vn.4S, Vm.4S
#define FADDP4S(vm, vn, vd) WORD $(0x6E20D400 | (vm)<<16 | (vn)<<5 | (vd)) // FADDP Vd.4S, Vn.4S, Vm.4S
#define FCMGT4S(vm, vn, vd) WORD $(0x6EA0E400 | (vm)<<16 | (vn)<<5 | (vd)) // FCMGT Vd.4S, Vn.4S, Vm.4S
#define BIC16B(vm, vn, vd)  WORD $(0x4E601C00 | (vm)<<16 | (vn)<<5 | (vd)) // BIC Vd.16B, Vn.16B, Vm.16B
#define FABS4S(vn, vd)      WORD $(0x4EA0F800 | (vn)<<5 | (vd))            // FABS Vd.4S, Vn.4S
#define FNEG4S(vn, vd)      WORD $(0x6EA0F800 | (vn)<<5 | (vd))            // FNEG Vd.4S, Vn.4S

// One lane of all.
#define FMAXV4S(vn, vd) WORD $(0x6E30F800 | (vn)<<5 | (vd)) // FMAXV Sd, Vn.4S
#define UMAXV4S(vn, vd) WORD $(0x6EB0A800 | (vn)<<5 | (vd)) // UMAXV Sd, Vn.4S

// Conversions. Those named with 2 read or write the upper half of the narrow vector.
#define SCVTF4S(vn, vd)  WORD $(0x4E21D800 | (vn)<<5 | (vd)) // SCVTF Vd.4S, Vn.4S
#define FCVTNS4S(vn, vd) WORD $(0x4E21A800 | (vn)<<5 | (vd)) // FCVTNS Vd.4S, Vn.4S
#define FCVTL(vn, vd)    WORD $(0x0E217800 | (vn)<<5 | (vd)) // FCVTL Vd.4S, Vn.4H
#define FCVTL2(vn, vd)   WORD $(0x4E217800 | (vn)<<5 | (vd)) // FCVTL2 Vd.4S, Vn.8H
#define FCVTN(vn, vd)    WORD $(0x0E216800 | (vn)<<5 | (vd)) // FCVTN Vd.4H, Vn.4S
#define FCVTN2(vn, vd)   WORD $(0x4E216800 | (vn)<<5 | (vd)) // FCVTN2 Vd.8H, Vn.4S
#define SXTL8H(vn, vd)   WORD $(0x0F08A400 | (vn)<<5 | (vd)) // SXTL Vd.8H, Vn.8B
#define SXTL28H(vn, vd)  WORD $(0x4F08A400 | (vn)<<5 | (vd)) // SXTL2 Vd.8H, Vn.16B
#define SXTL4S(vn, vd)   WORD $(0x0F10A400 | (vn)<<5 | (vd)) // SXTL Vd.4S, Vn.4H
#define SXTL24S(vn, vd)  WORD $(0x4F10A400 | (vn)<<5 | (vd)) // SXTL2 Vd.4S, Vn.8H
#define SSHR8H8(vn, vd)  WORD $(0x4F180400 | (vn)<<5 | (vd)) // SSHR Vd.8H, Vn.8H, #8
#define SHLL4S(vn, vd)   WORD $(0x2E613800 | (vn)<<5 | (vd)) // SHLL Vd.4S, Vn.4H, #16
#define SHLL24S(vn, vd)  WORD $(0x6E613800 | (vn)<<5 | (vd)) // SHLL2 Vd.4S, Vn.8H, #16

// Products of bytes.
#define SMULL8H(vm, vn, vd)  WORD $(0x0E20C000 | (vm)<<16 | (vn)<<5 | (vd)) // SMULL Vd.8H, Vn.8B, Vm.8B
#define SMULL28H(vm, vn, vd) WORD $(0x4E20C000 | (vm)<<16 | (vn)<<5 | (vd)) // SMULL2 Vd.8H, Vn.16B, Vm.16B
#define SADALP4S(vn, vd)     WORD $(0x4E606800 | (vn)<<5 | (vd))            // SADALP Vd.4S, Vn.8H

// Of FEAT_DotProd: SDOT Vd.4S, Vn.16B, Vm.4B[i]
#define SDOT4S(vm, i, vn, vd) WORD $(0x4F80E000 | ((i)&1)<<21 | (vm)<<16 | ((i)>>1)<<11 | (vn)<<5 | (vd))
