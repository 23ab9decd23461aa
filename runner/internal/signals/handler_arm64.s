#include "textflag.h"

// As handler_amd64.s; the kernel passes R0 signal, R1 siginfo, R2 context.
TEXT handler<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVW ·pipeFD(SB), R0
	MOVD $128, R2
	MOVD $64, R8 // write
	SVC
	RET

// As in handler_amd64.s.
TEXT faultHandler<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVW 8(R1), R3
	CMPW $0, R3
	BLE sent
	MOVD ·goHandler(SB), R3
	JMP (R3)
sent:
	RET

TEXT restorer<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD $139, R8 // rt_sigreturn
	SVC
	BRK

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB),NOSPLIT,$0-8
	MOVD $handler<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB),NOSPLIT,$0-8
	MOVD $restorer<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB),NOSPLIT,$0-8
	MOVD $faultHandler<>(SB), R0
	MOVD R0, ret+0(FP)
	RET
