#include "textflag.h"

// Registers: DI the next word of marks, CX how many are left, SI the octet in front of those that it is for.
// X8 to X11 hold 16 times CR, LF, SP and TAB.

#define SPLAT(octets, reg) \
	MOVQ $octets, AX \
	MOVQ AX, reg     \
	PUNPCKLQDQ reg, reg

// BARE marks 16 octets in X2: LF in X1 without CR in X0.
#define BARE(offset) \
	MOVOU offset(SI), X0     \
	MOVOU (offset+1)(SI), X1 \
	MOVOA X0, X2             \
	PCMPEQB X8, X2           \
	MOVOA X1, X3             \
	PCMPEQB X9, X3           \
	PANDN X3, X2

// RELAXED adds to X2: TAB in X1, and up to SP in X1 with SP in X0.
#define RELAXED(offset) \
	BARE(offset)    \
	PCMPEQB X10, X0 \
	MOVOA X1, X3    \
	PMINUB X10, X3  \
	PCMPEQB X1, X3  \
	PAND X3, X0     \
	POR X0, X2      \
	PCMPEQB X11, X1 \
	POR X1, X2

// STORE takes the next 16 bits of a word from X2.
#define STORE(index) \
	PMOVMSKB X2, AX \
	MOVW AX, (2*index)(DI)

// func markBare(marks []uint64, p []byte)
TEXT ·markBare(SB), NOSPLIT, $0-48
	MOVQ marks_base+0(FP), DI
	MOVQ marks_len+8(FP), CX
	MOVQ p_base+24(FP), SI
	SPLAT(0x0d0d0d0d0d0d0d0d, X8)
	SPLAT(0x0a0a0a0a0a0a0a0a, X9)

bare:
	TESTQ CX, CX
	JZ    bareDone
	BARE(0)
	STORE(0)
	BARE(16)
	STORE(1)
	BARE(32)
	STORE(2)
	BARE(48)
	STORE(3)
	ADDQ  $64, SI
	ADDQ  $8, DI
	DECQ  CX
	JMP   bare

bareDone:
	RET

// func markRelaxed(marks []uint64, p []byte)
TEXT ·markRelaxed(SB), NOSPLIT, $0-48
	MOVQ marks_base+0(FP), DI
	MOVQ marks_len+8(FP), CX
	MOVQ p_base+24(FP), SI
	SPLAT(0x0d0d0d0d0d0d0d0d, X8)
	SPLAT(0x0a0a0a0a0a0a0a0a, X9)
	SPLAT(0x2020202020202020, X10)
	SPLAT(0x0909090909090909, X11)

relaxed:
	TESTQ CX, CX
	JZ    relaxedDone
	RELAXED(0)
	STORE(0)
	RELAXED(16)
	STORE(1)
	RELAXED(32)
	STORE(2)
	RELAXED(48)
	STORE(3)
	ADDQ  $64, SI
	ADDQ  $8, DI
	DECQ  CX
	JMP   relaxed

relaxedDone:
	RET
