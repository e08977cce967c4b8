//! The sections and the probe, for the tests in C; not in release builds.

use engine::critical;

#[unsafe(no_mangle)]
extern "C" fn usysv_test_enter() {
    critical::enter();
}

#[unsafe(no_mangle)]
extern "C" fn usysv_test_leave() {
    critical::leave();
}

#[unsafe(no_mangle)]
extern "C" fn usysv_test_depth() -> u32 {
    engine::tls::block()
        .depth
        .load(core::sync::atomic::Ordering::Relaxed)
}

/// 1 or 0; `write` asks for `efault::writable`.
#[unsafe(no_mangle)]
extern "C" fn usysv_test_accessible(addr: usize, len: usize, write: bool) -> bool {
    if write {
        crate::efault::writable(addr, len)
    } else {
        crate::efault::readable(addr, len)
    }
}
