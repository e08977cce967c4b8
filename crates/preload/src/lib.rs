//! `libusysv.so`: the C edge.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort never returns and needs nothing.
    unsafe { libc::abort() }
}

/// libcore is compiled with unwinding and refers to this; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[link(name = "c")]
unsafe extern "C" {}
