//! Users: who may do what, by the calls and past them.
//!
//! `matrix` makes every call as every kind of user under every mode, on the kernel and on the engine,
//! and compares the answers cell by cell. `files` goes past the calls: what somebody can do to the
//! files of others' objects, and that it is no more than the documentation says.
//!
//! Users are made of, so only root can run this; the kernel's side needs an IPC namespace.

mod calls;
mod files;
mod matrix;
#[path = "../crash/rig.rs"]
#[allow(dead_code)]
mod rig;

/// Somebody: name, user, group, further groups.
#[derive(Clone, Copy)]
struct User(&'static str, u32, u32, &'static [u32]);

const OWNER: User = User("owner", 4001, 4101, &[]);
const CREATOR: User = User("creator", 4002, 4102, &[]);
const OTHER: User = User("other", 4004, 4104, &[]);
const ROOT: User = User("root", 0, 0, &[]);
/// Who looks at an object that the creator made and the owner was given.
const CALLERS: [User; 8] = [
    OWNER,
    CREATOR,
    User("owner's group", 4003, 4101, &[]),
    User("member of the owner's group", 4003, 4103, &[7, 4101]),
    User("creator's group", 4003, 4102, &[]),
    User("member of both groups", 4003, 4103, &[4102, 4101]),
    OTHER,
    ROOT,
];

impl User {
    /// Becomes this user for good.
    fn become_them(&self) {
        let User(name, uid, gid, groups) = *self;
        // SAFETY: the list outlives the call, and this process has no second thread.
        let done = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr()) == 0
                && libc::setgid(gid) == 0
                && libc::setuid(uid) == 0
        };
        assert!(done, "becoming {name}: {}", std::io::Error::last_os_error());
        usysv::creds_changed();
    }

    /// Runs `f` as this user; root again afterwards.
    fn act<T>(&self, f: impl FnOnce() -> T) -> T {
        let switch = |uid, gid| {
            // SAFETY: no pointers; this process has no second thread.
            let done = unsafe {
                libc::seteuid(0) == 0 && libc::setegid(gid) == 0 && libc::seteuid(uid) == 0
            };
            assert!(done, "acting: {}", std::io::Error::last_os_error());
            usysv::creds_changed();
        };
        switch(self.1, self.2);
        let result = f();
        switch(0, 0);
        result
    }
}

/// Whether this can run here; says why not.
fn is_root() -> bool {
    // SAFETY: no pointers.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("users: NOT RUN: becomes other users, which only root can");
    }
    root
}
