//! What surrounds the engine in a model: threads that may die or be interrupted at any step, their
//! robust lists, the kernel's futexes, time.
//!
//! Each thread of a model is a process of its own, with the same memory. A step is a load or store
//! of a watched word, a fence, a system call or a `crashpoint!`; where a thread is *fine-grained*,
//! also a store to any other word. A thread that dies stops before a step: its stack is unwound
//! (what that runs does nothing, see [`step_at`]), then the kernel walks its robust list
//! (`exit_robust_list`, `handle_futex_death`), and only then is it gone.
//!
//! A system call is one step: what the kernel's own locks and barriers make of it. Time stands
//! still while somebody can run; when all sleep it goes on to the first timeout. So a model in
//! which no time may pass finds every lost wake, and one with a death says how late it is noticed.

use crate::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use crate::errno::{Errno, Result};
use crate::lock::{DIED, Head, OFFSET, TID, WAITERS};
use crate::sys::FOREVER;
use crate::tls::Block;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize as Count};

/// What happens to a thread at one of its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Death,
    /// A signal that has a handler.
    Signal,
    /// One whose handler leaves the call by `longjmp`: see [`unless_left`].
    Leave,
}

/// What befalls a thread, and whether it came to that.
#[derive(Clone)]
pub struct Fate {
    pub event: Event,
    pub step: usize,
    /// Also between two stores to words that nobody watches.
    pub fine: bool,
    pub reached: Arc<AtomicBool>,
}

/// A thread of the model. `head` is the libc's.
pub struct Thread {
    pub block: Block,
    list: List,
    id: Cell<Option<loom::thread::Thread>>,
    fate: Option<Fate>,
    /// The kill point that it dies at.
    pub dies_at: Cell<Option<&'static str>>,
    steps: Cell<usize>,
    signal: Cell<bool>,
    /// The signal's handler does not return.
    leaves: Cell<bool>,
    signals_blocked: Cell<bool>,
    died: Cell<bool>,
    exits: Cell<bool>,
    /// The kill points that it came to.
    passed: RefCell<Vec<&'static str>>,
    pub gone: Cell<bool>,
}

/// The head of a robust list, as glibc has it in a thread's block.
#[repr(C)]
struct List {
    prev: AtomicUsize,
    head: Head,
}

impl Thread {
    /// Whether it dies, or is dead.
    pub fn exits(&self) -> bool {
        self.exits.get()
    }

    /// Whether it died before its body was done.
    pub fn died(&self) -> bool {
        self.died.get()
    }

    /// Whether it came to this kill point, and perhaps died there.
    pub fn passed(&self, name: &str) -> bool {
        self.passed.borrow().contains(&name)
    }
}

struct Sleeper {
    thread: usize,
    words: Vec<usize>,
    until: u64,
    woken: Option<Result<()>>,
}

struct Memory {
    whole: *mut u8,
    layout: Layout,
    at: *mut u8,
    len: usize,
    watched: bool,
}

/// One execution of a model.
pub struct World {
    /// Loom's words, by address.
    words: RefCell<HashMap<usize, Rc<dyn Any>>>,
    /// Some thread is fine-grained.
    fine: Cell<bool>,
    threads: RefCell<Vec<Rc<Thread>>>,
    joins: RefCell<Vec<Option<loom::thread::JoinHandle<()>>>>,
    memory: RefCell<Vec<Memory>>,
    /// Mappings that were unmapped.
    gone: RefCell<HashSet<usize>>,
    sleepers: RefCell<Vec<Sleeper>>,
    /// Threads that neither sleep nor ended.
    running: Cell<usize>,
    pub now_ns: Cell<u64>,
    /// When all must have come to its end.
    pub patience_ns: Cell<u64>,
    pub spins: Cell<bool>,
    /// Which pid namespaces the processes are of; without it, one.
    pub users: Cell<Option<&'static crate::pidns::Word>>,
    /// A thread of another one: it cannot be seen by its number.
    pub stranger: Cell<Option<usize>>,
    /// Whether loom sees memory that the engine asks for.
    pub watches_private: Cell<bool>,
    /// System calls and kill points so far, for who reads of a failure.
    story: RefCell<Vec<String>>,
    /// Each system call touches it: they take effect one after the other, with full barriers.
    calls: loom::sync::atomic::AtomicUsize,
}

struct Death;

/// A handler left by `longjmp`. What the unwinding runs does nothing, as nothing runs there in truth.
struct Left;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

impl Drop for World {
    fn drop(&mut self) {
        for memory in self.memory.get_mut() {
            // SAFETY: as `memory` allocated it; threads of this execution are gone.
            unsafe { dealloc(memory.whole, memory.layout) };
        }
    }
}

pub fn world() -> Rc<World> {
    WORLD.with_borrow(|w| w.clone()).expect("inside of a model")
}

/// Explores all executions of a model with at most so many preemptions; how many there were.
pub fn explore(preemptions: usize, model: impl Fn(&Rc<World>) + Send + Sync + 'static) -> usize {
    let count = Arc::new(Count::new(0));
    let executions = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(move || {
        count.fetch_add(1, SeqCst);
        let world = Rc::new(World {
            words: RefCell::default(),
            fine: Cell::new(false),
            threads: RefCell::default(),
            joins: RefCell::default(),
            memory: RefCell::default(),
            gone: RefCell::default(),
            sleepers: RefCell::default(),
            running: Cell::new(1),
            now_ns: Cell::new(1_000_000_000),
            patience_ns: Cell::new(0),
            spins: Cell::new(false),
            users: Cell::new(None),
            stranger: Cell::new(None),
            watches_private: Cell::new(false),
            story: RefCell::default(),
            calls: loom::sync::atomic::AtomicUsize::new(0),
        });
        WORLD.set(Some(world.clone()));
        let me = world.add_thread(None);
        me.id.set(Some(loom::thread::current()));
        model(&world);
    });
    executions.load(SeqCst)
}

/// Explores a model once for each step at which the event may befall a thread; executions and steps.
pub fn at_each_step(
    event: Event,
    fine: bool,
    preemptions: usize,
    model: impl Fn(&Rc<World>, Fate) + Clone + Send + Sync + 'static,
) -> (usize, usize) {
    let mut executions = 0;
    for step in 0.. {
        let reached = Arc::new(AtomicBool::new(false));
        let fate = Fate {
            event,
            step,
            fine,
            reached: reached.clone(),
        };
        let model = model.clone();
        executions += explore(preemptions, move |w| model(w, fate.clone()));
        if !reached.load(SeqCst) {
            return (executions, step);
        }
    }
    unreachable!("a thread's steps end")
}

impl World {
    fn add_thread(&self, fate: Option<Fate>) -> Rc<Thread> {
        let number = self.threads.borrow().len();
        self.fine
            .set(self.fine.get() || fate.as_ref().is_some_and(|f| f.fine));
        let thread = Rc::new(Thread {
            block: Block::new(tid_of(number)),
            list: List {
                prev: AtomicUsize::new(0),
                head: Head {
                    list: AtomicUsize::new(0),
                    offset: OFFSET,
                    pending: AtomicUsize::new(0),
                },
            },
            id: Cell::new(None),
            fate,
            dies_at: Cell::new(None),
            steps: Cell::new(0),
            signal: Cell::new(false),
            leaves: Cell::new(false),
            signals_blocked: Cell::new(false),
            died: Cell::new(false),
            exits: Cell::new(false),
            passed: RefCell::default(),
            gone: Cell::new(false),
        });
        let head = &raw const thread.list.head as usize;
        thread.list.head.list.store(head, Relaxed);
        thread.block.robust.store(head, Relaxed);
        self.threads.borrow_mut().push(thread.clone());
        thread
    }

    /// Has loom see the word at this address.
    pub fn watch(&self, at: usize, word: Rc<dyn Any>) {
        self.words.borrow_mut().insert(at, word);
    }

    /// Zeroed memory that lasts as long as the execution. `watched`: loom sees all of it, each word
    /// from when it is first used, so by a thread before it shows it to others.
    pub fn memory(&self, len: usize, watched: bool) -> *mut u8 {
        // As much as a page more, so that it begins at one; zeroes come from the kernel.
        let layout = Layout::from_size_align(len + 4096, 16).expect("a layout");
        // SAFETY: not of size zero.
        let whole = unsafe { alloc_zeroed(layout) };
        let at = whole.wrapping_add(whole.align_offset(4096));
        let memory = Memory {
            whole,
            layout,
            at,
            len,
            watched,
        };
        self.memory.borrow_mut().push(memory);
        at
    }

    /// A thread of the model, to which the fate happens; its number.
    pub fn spawn<T>(
        self: &Rc<World>,
        fate: Option<Fate>,
        body: impl FnOnce() -> T + 'static,
    ) -> usize {
        let me = self.add_thread(fate);
        let number = self.threads.borrow().len() - 1;
        self.running.set(self.running.get() + 1);
        let world = self.clone();
        let join = loom::thread::spawn(move || {
            me.id.set(Some(loom::thread::current()));
            if let Err(end) = catch_unwind(AssertUnwindSafe(body)) {
                if !end.is::<Death>() {
                    resume_unwind(end);
                }
                me.died.set(true);
            }
            world.exit(&me);
        });
        self.joins.borrow_mut().push(Some(join));
        number
    }

    /// Waits for the end of one thread; this one counts as running meanwhile.
    pub fn wait_for(&self, number: usize) {
        let join = self.joins.borrow_mut()[number - 1].take();
        join.expect("a thread").join().expect("a thread that ends");
    }

    /// Waits for the end of all threads.
    pub fn join(&self) {
        self.call();
        self.stops_running();
        for join in self.joins.take().into_iter().flatten() {
            join.join().expect("a thread that ends");
        }
        self.running.set(1);
    }

    pub fn thread(&self, number: usize) -> Rc<Thread> {
        self.threads.borrow()[number].clone()
    }

    pub fn me(&self) -> Rc<Thread> {
        let id = loom::thread::current().id();
        let threads = self.threads.borrow();
        let mine = threads.iter().find(|t| {
            // SAFETY: set once, by its thread, before anybody looks.
            unsafe { &*t.id.as_ptr() }
                .as_ref()
                .is_some_and(|t| t.id() == id)
        });
        mine.expect("a thread of the model").clone()
    }

    /// Whether this thread is there still, for the kernel: also one that is about to end.
    pub fn exists(&self, tid: u32) -> bool {
        self.call();
        let threads = self.threads.borrow();
        let number = (tid as usize).wrapping_sub(100);
        let seen = self.stranger.get() != Some(number);
        seen && threads.get(number).is_some_and(|t| !t.gone.get())
    }

    fn tell(&self, who: &Thread, what: String) {
        let who = who.block.tid.load(Relaxed) - 100;
        self.story.borrow_mut().push(format!("{who}: {what}"));
    }

    fn call(&self) {
        loom::sync::atomic::fence(SeqCst);
        self.calls.fetch_add(1, AcqRel);
    }

    /// A signal with a handler for a thread, from outside.
    pub fn signal(&self, number: usize) {
        self.call();
        let thread = self.thread(number);
        if !thread.gone.get() && !thread.exits.get() {
            thread.signal.set(true);
            self.wake_if(1, Err(Errno::EINTR), |s| s.thread == number);
        }
    }

    pub fn futex_wait(&self, words: &[(&AtomicU32, u32)], ns: u64) -> Result<()> {
        let me = self.me();
        step(&me);
        loop {
            self.call();
            if me.signal.get() && !me.signals_blocked.get() {
                deliver(&me);
                if words.len() == 1 && ns != FOREVER {
                    return Err(Errno::EINTR);
                }
                // Begins anew after a handler with SA_RESTART, as what has no timeout.
                continue;
            }
            if words.iter().any(|(word, old)| word.newest() != *old) {
                self.tell(&me, format!("does not sleep at {:x}", address(words[0].0)));
                return Err(Errno::EAGAIN);
            }
            self.tell(&me, format!("sleeps at {:x}", address(words[0].0)));
            let number = self.number_of(&me);
            self.sleepers.borrow_mut().push(Sleeper {
                thread: number,
                words: words.iter().map(|(word, _)| address(word)).collect(),
                until: self.now_ns.get().saturating_add(ns),
                woken: None,
            });
            self.stops_running();
            let woken = loop {
                if let Some(woken) = self.woken(number) {
                    break woken;
                }
                loom::thread::park();
            };
            self.call();
            if woken != Err(Errno::EINTR) {
                // Back from the system call: a signal or death that came meanwhile.
                step(&me);
                return woken;
            }
        }
    }

    /// An unmapped mapping stays in memory, so that its use is seen.
    pub fn unmap(&self, at: usize) {
        self.call();
        let first = self.gone.borrow_mut().insert(at);
        assert!(first, "unmapped twice");
    }

    pub fn unmapped(&self, at: usize) -> bool {
        self.call();
        self.gone.borrow().contains(&at)
    }

    /// Sleeps so long.
    pub fn sleep(&self, ns: u64) {
        let nobody = AtomicU32::new(0);
        let _ = self.futex_wait(&[(&nobody, 0)], ns);
    }

    pub fn futex_wake(&self, word: &AtomicU32, count: usize) -> usize {
        step(&self.me());
        self.wake(address(word), count)
    }

    fn wake(&self, word: usize, count: usize) -> usize {
        self.call();
        let woken = self.wake_if(count, Ok(()), |s| s.words.contains(&word));
        self.tell(&self.me(), format!("wakes {woken} at {word:x}"));
        woken
    }

    fn wake_if(&self, most: usize, with: Result<()>, which: impl Fn(&Sleeper) -> bool) -> usize {
        let mut count = 0;
        for sleeper in self.sleepers.borrow_mut().iter_mut() {
            if count < most && sleeper.woken.is_none() && which(sleeper) {
                count += 1;
                sleeper.woken = Some(with);
                self.running.set(self.running.get() + 1);
                let thread = self.thread(sleeper.thread);
                // SAFETY: set once, by its thread, before it slept.
                let id = unsafe { &*thread.id.as_ptr() };
                id.as_ref().expect("a thread that slept").unpark();
            }
        }
        count
    }

    fn woken(&self, number: usize) -> Option<Result<()>> {
        let mut sleepers = self.sleepers.borrow_mut();
        let at = sleepers.iter().position(|s| s.thread == number)?;
        let woken = sleepers[at].woken?;
        sleepers.remove(at);
        Some(woken)
    }

    fn number_of(&self, thread: &Rc<Thread>) -> usize {
        let threads = self.threads.borrow();
        let at = threads.iter().position(|t| Rc::ptr_eq(t, thread));
        at.expect("a thread of the model")
    }

    fn stops_running(&self) {
        self.running.set(self.running.get() - 1);
        if self.running.get() != 0 || self.sleepers.borrow().is_empty() {
            return;
        }
        // Everybody sleeps.
        let next = self.sleepers.borrow().iter().map(|s| s.until).min();
        let next = next.expect("somebody sleeps");
        let passed = next - 1_000_000_000;
        let who: Vec<usize> = self.sleepers.borrow().iter().map(|s| s.thread).collect();
        assert!(
            passed <= self.patience_ns.get(),
            "lost wake: threads {who:?} sleep on until {passed} ns\n{}",
            self.story.borrow().join("\n")
        );
        self.now_ns.set(next);
        self.wake_if(usize::MAX, Err(Errno::ETIMEDOUT), |s| s.until <= next);
    }

    /// `do_exit`: the robust list, then nobody is there.
    fn exit(&self, me: &Rc<Thread>) {
        me.exits.set(true);
        let head = &me.list.head;
        let pending = head.pending.newest();
        let mut entry = head.list.newest();
        let mut left = 2048;
        while entry != &raw const *head as usize && left > 0 {
            // SAFETY: what the thread linked; a broken list is what a model looks for.
            let next = unsafe { &*(entry as *const AtomicUsize) }.newest();
            if entry != pending {
                self.word_of_the_dead(me, entry, false);
            }
            assert!(next != 0, "broken list: the kernel would read address 0");
            (entry, left) = (next, left - 1);
        }
        assert!(left > 0, "broken list: no end");
        if pending != 0 {
            self.word_of_the_dead(me, pending, true);
        }
        self.call();
        me.gone.set(true);
        self.stops_running();
    }

    /// `handle_futex_death`.
    fn word_of_the_dead(&self, me: &Thread, entry: usize, pending: bool) {
        let at = entry.wrapping_add_signed(OFFSET);
        // SAFETY: as in `exit`.
        let word = unsafe { &*(at as *const AtomicU32) };
        loop {
            self.call();
            let old = word.newest();
            if pending && old == 0 {
                self.wake(at, 1);
                return;
            }
            if old & TID != me.block.tid.load(Relaxed) {
                return;
            }
            let died = old & WAITERS | DIED;
            if word.compare_exchange(old, died, SeqCst, SeqCst).is_ok() {
                if old & WAITERS != 0 {
                    self.wake(at, 1);
                }
                return;
            }
        }
    }
}

/// The number of a thread, for the kernel.
pub fn tid_of(thread: usize) -> u32 {
    100 + thread as u32
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word) as usize
}

/// A step at a word; loom's word for it, if it is watched.
///
/// Nothing of a thread that is being unwound is one: a dead one does nothing any more.
pub fn step_at(at: usize, watch: impl FnOnce()) -> Option<Rc<dyn Any>> {
    if std::thread::panicking() {
        return None;
    }
    let world = WORLD.with_borrow(|w| w.clone())?;
    let word = || world.words.borrow().get(&at).cloned();
    let mut watched = word();
    let inside = |m: &Memory| m.watched && at.wrapping_sub(m.at as usize) < m.len;
    if watched.is_none() && world.memory.borrow().iter().any(inside) {
        watch();
        watched = word();
    }
    if watched.is_some() || world.fine.get() {
        let me = world.me();
        if watched.is_some() || is_fine(&me) {
            step(&me);
        }
    }
    watched
}

fn is_fine(thread: &Thread) -> bool {
    thread.fate.as_ref().is_some_and(|fate| fate.fine)
}

pub fn step_at_fence() -> bool {
    !std::thread::panicking()
}

/// A step that is none of memory: a kill point.
pub fn step_here(name: &'static str) {
    if !std::thread::panicking() {
        let me = world().me();
        me.passed.borrow_mut().push(name);
        world().tell(&me, name.into());
        if me.dies_at.get() == Some(name) {
            die();
        }
        step(&me);
    }
}

/// Calls `f`, where `setjmp` was called. `None`: a handler left it.
pub fn unless_left<T>(f: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(end) if end.is::<Left>() => None,
        Err(end) => resume_unwind(end),
    }
}

/// The end of this thread, now.
pub fn die() -> ! {
    resume_unwind(Box::new(Death))
}

fn step(me: &Thread) {
    if me.exits.get() {
        return;
    }
    let now = me.steps.get();
    me.steps.set(now + 1);
    if let Some(fate) = &me.fate
        && fate.step == now
    {
        fate.reached.store(true, SeqCst);
        world().tell(me, format!("{:?}", fate.event));
        match fate.event {
            Event::Death => resume_unwind(Box::new(Death)),
            Event::Signal => me.signal.set(true),
            Event::Leave => {
                me.signal.set(true);
                me.leaves.set(true);
            }
        }
    }
    deliver(me);
}

/// A signal arrives, if there is one: `preload/src/signals.rs`, `decide` and `count`.
fn deliver(me: &Thread) {
    if !me.signal.get() || me.signals_blocked.get() {
        return;
    }
    let block = &me.block;
    if block.depth.load(Relaxed) != 0 {
        block.deferred.store(1, Relaxed);
        me.signals_blocked.set(true);
        return;
    }
    block.deferred.store(0, Relaxed);
    me.signal.set(false);
    world().tell(me, "a handler runs".into());
    block
        .handled
        .store(block.handled.load(Relaxed) + 1, Relaxed);
    if block.waiting.load(Relaxed) != 0 {
        crate::sleeping::interrupted();
    }
    if me.leaves.take() {
        resume_unwind(Box::new(Left));
    }
}

/// The end of a section in which a signal came.
pub fn unblock_signals() {
    let me = world().me();
    me.signals_blocked.set(false);
    deliver(&me);
}
