#include "textflag.h"

// func delimMasks(masks *uint64, b *byte, blocks int, delim byte)
//
// For each block of 64 bytes, a mask of where a delimiter or a line feed stands. SSE2 is on
// every amd64.
TEXT ·delimMasks(SB), NOSPLIT, $0-25
	MOVQ    masks+0(FP), DI
	MOVQ    b+8(FP), SI
	MOVQ    blocks+16(FP), CX
	MOVBQZX delim+24(FP), AX
	MOVQ    $0x0101010101010101, DX
	IMULQ   DX, AX
	MOVQ    AX, X0
	PUNPCKLQDQ X0, X0
	MOVQ    $0x0a0a0a0a0a0a0a0a, AX
	MOVQ    AX, X1
	PUNPCKLQDQ X1, X1
	TESTQ   CX, CX
	JZ      done

loop:
	MOVOU    (SI), X2
	MOVOU    16(SI), X4
	MOVOU    32(SI), X6
	MOVOU    48(SI), X8
	MOVO     X2, X3
	MOVO     X4, X5
	MOVO     X6, X7
	MOVO     X8, X9
	PCMPEQB  X0, X2
	PCMPEQB  X1, X3
	PCMPEQB  X0, X4
	PCMPEQB  X1, X5
	PCMPEQB  X0, X6
	PCMPEQB  X1, X7
	PCMPEQB  X0, X8
	PCMPEQB  X1, X9
	POR      X3, X2
	POR      X5, X4
	POR      X7, X6
	POR      X9, X8
	PMOVMSKB X2, R8
	PMOVMSKB X4, R9
	PMOVMSKB X6, R10
	PMOVMSKB X8, R11
	SHLQ     $16, R9
	SHLQ     $32, R10
	SHLQ     $48, R11
	ORQ      R9, R8
	ORQ      R11, R10
	ORQ      R10, R8
	MOVQ     R8, (DI)
	ADDQ     $64, SI
	ADDQ     $8, DI
	DECQ     CX
	JNZ      loop

done:
	RET
