//! Named points at which the crash suite kills this process.
//!
//! `crashpoint!("msg.send.before_commit")` stands before and after each store that matters. In
//! release builds it is nothing at all.

/// A named kill point.
macro_rules! crashpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::crash::reached($name);
    };
}
pub(crate) use crashpoint;

#[cfg(debug_assertions)]
mod armed {
    use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

    static NAME: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
    static LEN: AtomicUsize = AtomicUsize::new(0);
    static COUNTDOWN: AtomicU32 = AtomicU32::new(0);

    /// Kill this process by SIGKILL the `nth` time (from 1) that it comes to the point `name`.
    /// For the crash suite; debug builds only.
    pub fn arm(name: &'static str, nth: u32) {
        COUNTDOWN.store(nth, Relaxed);
        LEN.store(name.len(), Relaxed);
        NAME.store(name.as_ptr().cast_mut(), Relaxed);
    }

    #[allow(unsafe_code)]
    pub(crate) fn reached(name: &str) {
        let at = NAME.load(Relaxed);
        if at.is_null() {
            return;
        }
        // SAFETY: `arm` stored the parts of a &'static [u8].
        let wanted = unsafe { core::slice::from_raw_parts(at, LEN.load(Relaxed)) };
        if wanted == name.as_bytes() && COUNTDOWN.fetch_sub(1, Relaxed) == 1 {
            crate::sys::kill_self();
        }
    }
}
#[cfg(debug_assertions)]
pub use armed::arm;
#[cfg(debug_assertions)]
pub(crate) use armed::reached;
