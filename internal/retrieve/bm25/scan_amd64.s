#include "textflag.h"

// func skipStridesAVX2(acc *uint32, n int, need uint32) int
TEXT ·skipStridesAVX2(SB), NOSPLIT, $0-32
	MOVQ acc+0(FP), SI
	MOVQ n+8(FP), CX
	MOVL need+16(FP), AX
	DECL AX                  // sums above need-1, compared as signed: all are below 2^31
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	XORQ DX, DX

next:
	CMPQ DX, CX
	JGE  done
	VMOVDQU (SI), Y1
	VMOVDQU 64(SI), Y2
	VPMAXUD 32(SI), Y1, Y1
	VPMAXUD 96(SI), Y2, Y2
	VPMAXUD Y1, Y2, Y1
	VPCMPGTD Y0, Y1, Y1
	VPTEST Y1, Y1
	JNZ  done
	ADDQ $128, SI
	INCQ DX
	JMP  next

done:
	VZEROUPPER
	MOVQ DX, ret+24(FP)
	RET
