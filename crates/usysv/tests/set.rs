//! `SemaphoreSet`, `Op` and `Guard`, on both back ends.

use std::time::{Duration, Instant};
use usysv::{Backend, Engine, Errno, Kernel, Key, Namespace, Op, SemaphoreSet};

fn on_engine(test: fn(&dyn Backend)) {
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine = engine.expect("an engine");
    test(&engine);
    engine.namespace().destroy().expect("destroy");
}

fn on_kernel(test: fn(&dyn Backend)) {
    // SAFETY: this thread gets a namespace of its own, where the kernel allows that.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        eprintln!("skipped: no new IPC namespace for this user");
        return;
    }
    test(&Kernel);
}

fn keys_open_and_make(backend: &dyn Backend) {
    let key = Key(0x5e7);
    assert_eq!(SemaphoreSet::open(backend, key).err(), Some(Errno::ENOENT));
    let set = SemaphoreSet::create(backend, key, 3, 0o640).expect("create");
    let again = SemaphoreSet::create(backend, key, 3, 0o640).err();
    assert_eq!(again, Some(Errno::EEXIST));
    let same = SemaphoreSet::open_or_create(backend, key, 2, 0o600).expect("open");
    assert_eq!(same.semid(), set.semid());
    let more = SemaphoreSet::open_or_create(backend, key, 4, 0o600).err();
    assert_eq!(more, Some(Errno::EINVAL));
    let mut ds = SemaphoreSet::open(backend, key)
        .expect("open")
        .stat()
        .expect("stat");
    assert_eq!((ds.sem_nsems, ds.sem_perm.mode), (3, 0o640));
    ds.sem_perm.mode = 0o600;
    set.set(&ds).expect("set");
    assert_eq!(set.stat().expect("stat").sem_perm.mode, 0o600);
    set.remove().expect("remove");
    let gone = SemaphoreSet::from_id(backend, set.semid()).stat().err();
    assert_eq!(gone, Some(Errno::EINVAL));
}

fn operations_are_all_or_nothing(backend: &dyn Backend) {
    let set = SemaphoreSet::create(backend, Key::PRIVATE, 3, 0o600).expect("create");
    set.put_all(&[5, 0, 7]).expect("put_all");
    set.perform(&[Op::take(0, 2), Op::wait_zero(1), Op::add(2, 1)])
        .expect("perform");
    let mut values = [0; 3];
    set.values(&mut values).expect("values");
    assert_eq!(values, [3, 0, 8]);
    assert_eq!(set.values(&mut [0; 2]), Err(Errno::EINVAL));

    let refused = set.try_perform(&[Op::add(0, 1), Op::wait_zero(2)]);
    assert_eq!(refused, Err(Errno::EAGAIN));
    let refused = set.perform(&[Op::add(0, 1), Op::take(1, 1).no_wait()]);
    assert_eq!(refused, Err(Errno::EAGAIN));
    let start = Instant::now();
    let timeout = Duration::from_millis(30);
    let refused = set.perform_within(&[Op::add(0, 1), Op::take(1, 1)], timeout);
    assert_eq!(refused, Err(Errno::EAGAIN));
    assert!(start.elapsed() >= timeout);
    assert_eq!(set.value(0), Ok(3), "nothing was done");

    set.put(1, 9).expect("put");
    assert_eq!(set.value(1), Ok(9));
    assert_eq!(set.put(1, 32768), Err(Errno::ERANGE));
    assert_eq!(set.pid(0), Ok(std::process::id() as i32));
    assert_eq!(set.value(3), Err(Errno::EINVAL));
    assert_eq!(set.perform(&[Op::add(3, 1)]), Err(Errno::EFBIG));
    set.remove().expect("remove");
}

fn guards_give_back(backend: &dyn Backend) {
    let set = SemaphoreSet::create(backend, Key::PRIVATE, 1, 0o600).expect("create");
    assert_eq!(set.try_lock(0).err(), Some(Errno::EAGAIN));
    set.put(0, 1).expect("put");
    let guard = set.lock(0).expect("lock");
    assert_eq!(set.value(0), Ok(0));
    drop(guard);
    assert_eq!(set.value(0), Ok(1));
    let guard = set.try_lock(0).expect("try_lock");
    assert_eq!(guard.unlock(), Ok(()));
    assert_eq!(set.value(0), Ok(1), "once, not twice");
    let guard = set.lock(0).expect("lock");
    set.remove().expect("remove");
    assert_eq!(guard.unlock(), Err(Errno::EINVAL));
}

fn waiters_are_counted_and_woken(backend: &'static (dyn Backend + Sync)) {
    let set = SemaphoreSet::create(backend, Key::PRIVATE, 2, 0o600).expect("create");
    set.put(1, 1).expect("put");
    let semid = set.semid();
    let waits =
        |op: Op| std::thread::spawn(move || SemaphoreSet::from_id(backend, semid).perform(&[op]));
    let taker = waits(Op::take(0, 1));
    let other = waits(Op::wait_zero(1));
    let until = Instant::now() + Duration::from_secs(10);
    while (set.waiting_to_take(0), set.waiting_for_zero(1)) != (Ok(1), Ok(1)) {
        assert!(Instant::now() < until, "nobody waits");
        std::thread::sleep(Duration::from_millis(1));
    }
    set.perform(&[Op::add(0, 1), Op::take(1, 1)])
        .expect("perform");
    for waiter in [taker, other] {
        assert_eq!(waiter.join().expect("join"), Ok(()));
    }
    set.remove().expect("remove");
}

#[test]
fn keys_open_and_make_on_the_engine() {
    on_engine(keys_open_and_make);
}

#[test]
fn keys_open_and_make_on_the_kernel() {
    on_kernel(keys_open_and_make);
}

#[test]
fn operations_are_all_or_nothing_on_the_engine() {
    on_engine(operations_are_all_or_nothing);
}

#[test]
fn operations_are_all_or_nothing_on_the_kernel() {
    on_kernel(operations_are_all_or_nothing);
}

#[test]
fn guards_give_back_on_the_engine() {
    on_engine(guards_give_back);
}

#[test]
fn guards_give_back_on_the_kernel() {
    on_kernel(guards_give_back);
}

#[test]
fn waiters_are_counted_and_woken_on_the_engine() {
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine: &'static Engine = Box::leak(Box::new(engine.expect("an engine")));
    waiters_are_counted_and_woken(engine);
    engine.namespace().destroy().expect("destroy");
}

#[test]
fn waiters_are_counted_and_woken_on_the_kernel() {
    on_kernel(|_| waiters_are_counted_and_woken(&Kernel));
}

/// What a guard holds is undone at the process's end, and nothing is once it was given back.
#[test]
fn guards_are_undone() {
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine = engine.expect("an engine");
    let set = SemaphoreSet::create(&engine, Key::PRIVATE, 2, 0o600).expect("create");
    set.put(1, 1).expect("put");
    let held = || {
        let mut held = Vec::new();
        let looked = engine.each_undo(set.semid(), &mut |u| held.push((u.sem_num, u.semadj)));
        looked.expect("each_undo");
        held
    };
    let guard = set.lock(1).expect("lock");
    assert_eq!(held(), [(1, 1)]);
    drop(guard);
    assert_eq!(held(), []);
    engine.namespace().destroy().expect("destroy");
}

#[test]
#[should_panic(expected = "an amount is in 1..=32767")]
fn taking_nothing_is_a_mistake() {
    let _ = Op::take(0, 0);
}
