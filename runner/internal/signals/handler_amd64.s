#include "textflag.h"

// The signal handler: write(pipeFD, siginfo, 128). Called by the kernel with
// the C convention (DI signal, SI siginfo, DX context), on any thread, at any
// time. It touches no Go state and needs no register kept: rt_sigreturn, to
// which RET leads through the restorer, puts all of them back.
TEXT handler<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVL ·pipeFD(SB), DI
	MOVL $128, DX
	MOVL $1, AX // write
	SYSCALL
	RET

// The handler of signals that mean a fault of the receiver's own code: one that
// another process sent (si_code, at 8, is 0 or less) is nothing; what the
// kernel says goes on to Go's handler, with everything as the kernel left it.
TEXT faultHandler<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVL 8(SI), AX
	CMPL AX, $0
	JLE sent
	MOVQ ·goHandler(SB), AX
	JMP AX
sent:
	RET

TEXT restorer<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVL $15, AX // rt_sigreturn
	SYSCALL
	INT $3

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB),NOSPLIT,$0-8
	MOVQ $handler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB),NOSPLIT,$0-8
	MOVQ $restorer<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB),NOSPLIT,$0-8
	MOVQ $faultHandler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
