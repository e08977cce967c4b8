//! `Segment`, `Attached` and `PosixShm`, on both back ends where both have them.

use std::sync::atomic::Ordering::SeqCst;
use usysv::{Backend, Engine, Errno, Key, Namespace, PosixShm, Segment, SharedMemory};

fn engine() -> Engine {
    Engine::new(Namespace::create_private(None).expect("a namespace")).expect("an engine")
}

fn bytes_are_copied_within_bounds(backend: &dyn Backend) {
    let segment = Segment::create(backend, Key(0), 5000, 0o600).expect("create");
    let one = segment.attach().expect("attach");
    let two = segment.attach_read_only().expect("attach");
    assert_eq!((one.len(), two.len()), (5000, 5000));
    let text: Vec<u8> = (0..100).collect();
    for offset in [0, 1, 7, 8, 4900] {
        one.write(offset, &text).expect("write");
        let mut seen = [0; 100];
        two.read(offset, &mut seen).expect("read");
        assert_eq!(&seen[..], &text[..], "at {offset}");
    }
    assert_eq!(one.write(4901, &text), Err(Errno::EINVAL));
    assert_eq!(one.read(usize::MAX, &mut [0; 2]), Err(Errno::EINVAL));
    assert_eq!(two.write(0, b"x"), Err(Errno::EACCES));
    let word = one.atomic_u32(16).expect("a word");
    word.store(77, SeqCst);
    let mut seen = [0; 4];
    two.read(16, &mut seen).expect("read");
    assert_eq!(u32::from_ne_bytes(seen), 77);
    assert_eq!(one.atomic_u64(12).err(), Some(Errno::EINVAL));
    assert_eq!(one.atomic_u64(4996).err(), Some(Errno::EINVAL));
    assert_eq!(two.atomic_u32(0).err(), Some(Errno::EACCES));
    assert_eq!(segment.stat().expect("stat").shm_nattch, 2);
    drop(two);
    segment.remove().expect("remove");
    assert_eq!(segment.stat().expect("stat").shm_nattch, 1);
    drop(one);
    assert_eq!(segment.stat().err(), Some(Errno::EINVAL));
}

#[test]
fn bytes_are_copied_within_bounds_by_the_engine() {
    let engine = engine();
    bytes_are_copied_within_bounds(&engine);
    engine.namespace().destroy().expect("destroy");
}

#[test]
fn bytes_are_copied_within_bounds_by_the_kernel() {
    // SAFETY: this thread gets a namespace of its own, where the kernel allows that.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        eprintln!("skipped: no new IPC namespace for this user");
        return;
    }
    bytes_are_copied_within_bounds(&usysv::Kernel);
}

#[test]
fn attachers_are_listed_by_the_engine() {
    let engine = engine();
    let segment = Segment::create(&engine, Key(0), 5000, 0o600).expect("create");
    let attachers = || {
        let mut all = Vec::new();
        let listed = engine.each_attacher(segment.shmid(), &mut |a| all.push(*a));
        listed.expect("each_attacher");
        all
    };
    assert_eq!(attachers(), []);
    let one = segment.attach().expect("attach");
    let two = segment.attach_read_only().expect("attach");
    let all = attachers();
    let told = |a: &usysv::ShmAttacher| (a.pid, a.addr, a.len, a.writable());
    let told: Vec<_> = all.iter().map(told).collect();
    let pid = std::process::id() as i32;
    assert_eq!(
        told,
        [
            (pid, one.as_ptr() as usize, 8192, Some(true)),
            (pid, two.as_ptr() as usize, 8192, Some(false)),
        ]
    );
    drop(one);
    assert_eq!(attachers(), all[1..]);
    assert_eq!(all[0].writable(), None);
    drop(two);
    let shmid = segment.shmid();
    segment.remove().expect("remove");
    let listed = engine.each_attacher(shmid, &mut |_| panic!("nobody has it"));
    assert_eq!(listed, Err(Errno::EINVAL));
    engine.namespace().destroy().expect("destroy");
}

#[test]
fn posix_memory_is_a_name_in_the_namespace() {
    let engine = engine();
    let ns = engine.namespace();
    let made = libc::O_RDWR | libc::O_CREAT;
    let memory = PosixShm::open(ns, c"/buffer", made, 0o600).expect("shm_open");
    memory.set_len(4096).expect("set_len");
    assert!(PosixShm::open(ns, c"buffer", libc::O_RDONLY, 0).is_ok());
    let again = PosixShm::open(ns, c"/buffer", made | libc::O_EXCL, 0o600);
    assert_eq!(again.err(), Some(Errno::EEXIST));
    let odd = PosixShm::open(ns, c"/a/b", made, 0o600);
    assert_eq!(odd.err(), Some(Errno::EINVAL));
    assert_eq!(PosixShm::unlink(ns, c"/buffer"), Ok(()));
    assert_eq!(PosixShm::unlink(ns, c"/buffer"), Err(Errno::ENOENT));
    assert!(memory.descriptor() >= 0);
    drop(memory);
    ns.destroy().expect("destroy");
}

/// How often this process has the bytes of the namespace's segments mapped.
fn mapped(engine: &Engine) -> usize {
    let path = engine.namespace().path().to_str().expect("a path");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let of_bytes = |line: &&str| line.contains(path) && line.contains(".data");
    maps.lines().filter(of_bytes).count()
}

/// Calls the engine in another process.
fn in_a_child(f: impl FnOnce() -> Result<(), Errno>) {
    // SAFETY: the child calls nothing but the engine, which may be called after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let failed = f().is_err();
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(failed)) };
    }
    let mut status = -1;
    // SAFETY: room for a status.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((ended, status), (child, 0), "the child's call");
}

#[test]
fn what_is_attached_again_stays_mapped_until_it_is_removed() {
    let engine = engine();
    let often = |segment: &Segment<'_>| {
        for _ in 0..3 {
            drop(segment.attach().expect("attach"));
        }
    };
    let create = |size| Segment::create(&engine, Key(0), size, 0o600).expect("create");

    let segment = create(1 << 20);
    drop(segment.attach().expect("attach"));
    assert_eq!(mapped(&engine), 0, "attached once");
    often(&segment);
    assert_eq!(mapped(&engine), 1, "attached again");
    segment.remove().expect("remove");
    assert_eq!(mapped(&engine), 0, "removed");

    let segment = create(4096);
    often(&segment);
    let next = create(4096);
    often(&next);
    assert_eq!(mapped(&engine), 1, "one at a time");
    in_a_child(|| engine.shm_remove(next.shmid()));
    assert_eq!(next.stat().err(), Some(Errno::EINVAL));
    assert_eq!(mapped(&engine), 0, "removed by another");

    let held = segment.attach().expect("attach");
    often(&segment);
    in_a_child(|| engine.shm_remove(segment.shmid()));
    assert_eq!(mapped(&engine), 2, "removed by another while it is held");
    drop(held);
    assert_eq!(mapped(&engine), 0, "removed and let go");

    let large = create((1 << 20) + 1);
    often(&large);
    assert_eq!(mapped(&engine), 0, "too large to be kept");
    large.remove().expect("remove");
    engine.namespace().destroy().expect("destroy");
}
