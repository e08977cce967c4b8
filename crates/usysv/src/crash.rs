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
mod watched {
    use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

    static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

    /// From now on this process calls `hook` with the name of each point that it comes to: to note
    /// it, or to die there. For the crash suite; debug builds only.
    pub fn watch(hook: fn(&'static str)) {
        HOOK.store(hook as *mut (), Relaxed);
    }

    #[allow(unsafe_code)]
    pub(crate) fn reached(name: &'static str) {
        let hook = HOOK.load(Relaxed);
        if !hook.is_null() {
            // SAFETY: `watch` stored a function of this type.
            let hook = unsafe { core::mem::transmute::<*mut (), fn(&'static str)>(hook) };
            hook(name);
        }
    }
}
#[cfg(debug_assertions)]
pub(crate) use watched::reached;
#[cfg(debug_assertions)]
pub use watched::watch;
