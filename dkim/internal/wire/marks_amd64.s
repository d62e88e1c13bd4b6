#include "textflag.h"

// Registers: DI the next word of marks, CX how many are left, SI the octet in front of those that it is for.
// X8 to X11 hold 16 times CR, LF, SP and TAB.

// AHEAD is how far ahead octets are called into the cache: a block, so that the next is there once this one was hashed.
#define AHEAD 8192

#define SPLAT(octets, reg) \
	MOVQ $octets, AX \
	MOVQ AX, reg     \
	PUNPCKLQDQ reg, reg

// BARE marks 16 octets in X0: LF in X1, not CR in X0.
#define BARE(offset) \
	MOVOU offset(SI), X0     \
	PCMPEQB X8, X0           \
	MOVOU (offset+1)(SI), X1 \
	PCMPEQB X9, X1           \
	PANDN X1, X0

// RELAXED adds to X0: TAB, and up to SP with SP in front of it.
#define RELAXED(offset) \
	BARE(offset)             \
	MOVOU offset(SI), X2     \
	PCMPEQB X10, X2          \
	MOVOU (offset+1)(SI), X1 \
	MOVOA X1, X3             \
	PMINUB X10, X3           \
	PCMPEQB X1, X3           \
	PAND X3, X2              \
	POR X2, X0               \
	PCMPEQB X11, X1          \
	POR X1, X0

// STORE takes the next 16 bits of a word from X0.
#define STORE(index) \
	PMOVMSKB X0, AX \
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
	PREFETCHT0 AHEAD(SI)
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
	PREFETCHT0 AHEAD(SI)
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
