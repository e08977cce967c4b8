//! Kills at every point that lies on an operation, wherever that is.
//!
//! A scenario runs once to see which points its victim passes. Then it runs once for each of them,
//! and again for the second pass: the victim is killed there, somebody comes next, and the object
//! must be right. And once more for each point that who comes next passes when it finds the dead
//! one's object: it is killed as well. Each victim's kill is repeated while somebody else works on
//! the same object.
//!
//! What is right is the scenario's to say. Checked here: that a kill further on the same way leaves no
//! less done, and that what is left does not depend on further deaths. (The way that a victim took, not
//! the one that was traced before: who waits goes another one each time.) And that every point in the
//! source was somebody's death.
//!
//! `USYSV_CRASH_KILLS` makes it whole. Without it, those who come next are killed at a share of
//! their places only, but at each point once in each scenario.

mod names;
mod queues;
mod segments;
mod sets;

use crate::rig::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};
use usysv::Engine;

/// Passes of a point at which its victim is killed.
const PASSES: u32 = 2;
/// Without `USYSV_CRASH_KILLS`, who comes next is killed after one in so many victims, in one in so
/// many places, and at each point that killed nobody before. (With it: at each point's first pass, and
/// at this share of the second ones.)
const VICTIMS: usize = 4;
const SHARE: usize = 12;

/// An operation, and everything around it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// Prepares an object, and processes that are there already; gives the object's id.
    pub make: fn(&Engine) -> (i32, Vec<Child>),
    /// What is killed.
    pub act: fn(&Engine, i32),
    /// What goes on once the victim sleeps, or is dead. Processes that it leaves.
    pub meanwhile: Option<fn(&Engine, i32) -> Vec<Child>>,
    /// What whoever comes next does.
    pub next: fn(&Engine, i32),
    /// How many of the operation's steps happened, before the processes that are left may go on.
    pub seen: fn(&World, i32) -> usize,
    /// Lets the processes that are left go on to their ends.
    pub release: fn(&Engine, i32),
    /// Whether all is right at last; how many of the operation's steps happened.
    pub check: fn(&World, i32) -> usize,
    /// A round of work on the same object, which leaves it as it was.
    pub company: Option<fn(&Engine, i32)>,
    /// Nothing but the victim decides which points it passes.
    pub exact: bool,
    /// Takes long: who comes next is killed at a share of its points always.
    pub slow: bool,
}

/// What a run of a scenario left, as its processes write it down.
struct Left {
    victim_died: AtomicBool,
    next_died: AtomicBool,
    /// Of the operation, how many happened.
    steps: AtomicUsize,
    /// The company is to end.
    stop: AtomicBool,
    /// The victim's way, and that of who comes next.
    victim: Way,
    next: Way,
}

/// The points that a process came to, in order.
struct Way {
    passed: AtomicUsize,
    points: [(AtomicPtr<u8>, AtomicUsize); 1 << 16],
}

static WAY: OnceLock<&'static Way> = OnceLock::new();
/// Where this process dies, and how often it still comes there before.
static END: OnceLock<(&'static str, AtomicU32)> = OnceLock::new();

/// From now on this process writes down the points that it comes to, and dies at the one named.
fn watch(way: &Way, end: Option<Place>) {
    // SAFETY: the parent keeps the mapping until this process has ended; ours stays.
    let way = unsafe { &*std::ptr::from_ref(way) };
    assert!(WAY.set(way).is_ok(), "a process is watched once");
    if let Some((point, nth)) = end {
        END.set((point, AtomicU32::new(nth))).expect("once");
    }
    usysv::watch_crashpoints(|name| {
        let way = WAY.get().expect("it is watched");
        let (at, len) = &way.points[way.passed.fetch_add(1, SeqCst)];
        len.store(name.len(), SeqCst);
        at.store(name.as_ptr().cast_mut(), SeqCst);
        let end = END.get().filter(|(point, _)| *point == name);
        if end.is_some_and(|(_, countdown)| countdown.fetch_sub(1, SeqCst) == 1) {
            kill_self();
        }
    });
}

/// Where to die: a point, and the how-manieth time that one comes there.
type Place = (&'static str, u32);

impl Way {
    fn points(&self) -> Vec<&'static str> {
        let passed = &self.points[..self.passed.load(SeqCst)];
        // A thread that was killed with another one may not have come to write its point down.
        let written = passed.iter().filter(|(at, _)| !at.load(SeqCst).is_null());
        let name = |(at, len): &(AtomicPtr<u8>, AtomicUsize)| {
            // SAFETY: the parts of a static string of this very program, which the child shares.
            let name = unsafe { std::slice::from_raw_parts(at.load(SeqCst), len.load(SeqCst)) };
            std::str::from_utf8(name).expect("a name")
        };
        written.map(name).collect()
    }

    /// The first passes of each point, in order.
    fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for name in self.points() {
            let passes = places.iter().filter(|(point, _)| *point == name).count() as u32;
            if passes < PASSES {
                places.push((name, passes + 1));
            }
        }
        places
    }
}

/// What becomes of a process.
#[derive(Clone, Copy)]
enum Fate {
    Dies(Place),
    Lives,
}

impl Fate {
    fn of(self, way: &Way, f: impl FnOnce()) -> Child {
        let end = self.end();
        Child::fork(|| {
            watch(way, end);
            f();
        })
    }

    fn end(self) -> Option<Place> {
        match self {
            Fate::Dies(place) => Some(place),
            Fate::Lives => None,
        }
    }
}

impl Scenario {
    fn run(&self, victim: Fate, next: Fate, in_company: bool) -> Shared<Left> {
        let company = if in_company { ", in company" } else { "" };
        let (one, two) = (victim.end(), next.end());
        let what = format!("{}: {one:?}, then {two:?}{company}", self.name);
        // SAFETY: atomics, for which zeroes are good.
        let left: Shared<Left> = unsafe { Shared::new() };
        // In a process of its own, where no mappings of earlier worlds make every fork slow.
        survivor(&what, || self.stage(victim, next, in_company, &left, &what));
        left
    }

    fn stage(&self, victim: Fate, next: Fate, in_company: bool, left: &Left, what: &str) {
        let world = World::new();
        let engine = &world.0;
        let (id, mut others) = (self.make)(engine);
        let company = self.company.filter(|_| in_company).map(|company| {
            Child::fork(|| {
                while !left.stop.load(SeqCst) {
                    company(engine, id);
                }
            })
        });
        let killed = victim.of(&left.victim, || (self.act)(engine, id));
        if let Some(meanwhile) = self.meanwhile {
            killed.until_state("SZ");
            others.extend(meanwhile(engine, id));
        }
        left.victim_died.store(ended(killed, what), SeqCst);
        let next = next.of(&left.next, || (self.next)(engine, id));
        left.next_died.store(ended(next, what), SeqCst);
        left.stop.store(true, SeqCst);
        if let Some(company) = company {
            assert_eq!(company.wait(), End::Exit(0), "{what}: the company");
        }
        let look = |f: fn(&World, i32) -> usize| left.steps.fetch_add(f(&world, id), SeqCst);
        survivor(what, || {
            look(self.seen);
            (self.release)(engine, id);
            if others.is_empty() {
                look(self.check);
            }
        });
        if !others.is_empty() {
            for other in others {
                assert_eq!(other.wait(), End::Exit(0), "{what}: another process");
            }
            survivor(what, || {
                look(self.check);
            });
        }
    }

    /// The places on the victim's way, or, when it has died, on the way of who comes next: in a run that no
    /// second began in, as few do (a queue keeps what it grew for a second).
    fn places(&self, victim: Option<Place>) -> Vec<Place> {
        const TRIES: u32 = 10;
        let mut places = Vec::new();
        for _ in 0..TRIES {
            let began = second();
            places = self.traced(victim);
            if second() == began {
                break;
            }
        }
        places
    }

    fn traced(&self, victim: Option<Place>) -> Vec<Place> {
        match victim {
            None => self.run(Fate::Lives, Fate::Lives, false).victim.places(),
            Some(place) => self
                .run(Fate::Dies(place), Fate::Lives, false)
                .next
                .places(),
        }
    }
}

/// The wall clock's.
fn second() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

/// True: it was killed; false: it came to its end.
fn ended(child: Child, what: &str) -> bool {
    match child.wait() {
        KILLED => true,
        end => {
            assert_eq!(end, End::Exit(0), "{what}");
            false
        }
    }
}

/// How much each victim of a scenario did before it died.
#[derive(Default)]
struct Done(Vec<(Vec<&'static str>, usize)>);

impl Done {
    /// Who came further on the same way did no less; who came as far did as much.
    fn add(&mut self, way: Vec<&'static str>, steps: usize, what: &str) {
        for (other, done) in &self.0 {
            let right = (!way.starts_with(other) || steps >= *done)
                && (!other.starts_with(&way) || steps <= *done);
            assert!(
                right,
                "{what}: {steps} steps are done after {way:?}, but {done} after {other:?}"
            );
        }
        self.0.push((way, steps));
    }
}

/// What a list of scenarios did.
#[derive(Default)]
struct Kills {
    victims: usize,
    next: usize,
    points: BTreeSet<&'static str>,
}

impl Kills {
    /// Most of the time is spent asleep, so several at a time.
    fn of(scenarios: &[Scenario]) -> Kills {
        let (next, kills) = (AtomicUsize::new(0), Mutex::new(Kills::default()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(scenario) = scenarios.get(next.fetch_add(1, SeqCst)) {
                        let mut its = Kills::default();
                        its.add(scenario);
                        let mut all = kills.lock().expect("no panic before");
                        all.victims += its.victims;
                        all.next += its.next;
                        all.points.extend(its.points);
                    }
                });
            }
        });
        kills.into_inner().expect("no panic")
    }

    fn add(&mut self, scenario: &Scenario) {
        let mut done = Done::default();
        for (number, victim) in scenario.places(None).into_iter().enumerate() {
            self.kill(scenario, victim, None, false, &mut done);
            if scenario.company.is_some() {
                self.kill(scenario, victim, None, true, &mut done);
            }
            let all = whole() && !scenario.slow;
            if !all && number % VICTIMS != 0 {
                continue;
            }
            for (at, next) in scenario.places(Some(victim)).into_iter().enumerate() {
                let turn = at % SHARE == number / VICTIMS % SHARE;
                if all && next.1 == 1 || turn || !self.points.contains(next.0) {
                    self.kill(scenario, victim, Some(next), false, &mut done);
                }
            }
        }
    }

    fn kill(
        &mut self,
        scenario: &Scenario,
        victim: Place,
        next: Option<Place>,
        in_company: bool,
        done: &mut Done,
    ) {
        let fate = next.map_or(Fate::Lives, Fate::Dies);
        // A way is another where a second begins: then the next run is alike again.
        let run = || scenario.run(Fate::Dies(victim), fate, in_company);
        let mut left = run();
        let went = |left: &Left| {
            let next_died = left.next_died.load(SeqCst);
            left.victim_died.load(SeqCst) && next_died == next.is_some()
        };
        for _ in 0..2 {
            if scenario.exact && !in_company && !went(&left) {
                left = run();
            }
        }
        let (died, next_died) = (left.victim_died.load(SeqCst), left.next_died.load(SeqCst));
        let what = format!("{}: {victim:?}, then {next:?}", scenario.name);
        assert!(
            went(&left) || in_company || !scenario.exact,
            "{what}: these are not on its way"
        );
        if died {
            self.victims += 1;
            self.points.insert(victim.0);
            done.add(left.victim.points(), left.steps.load(SeqCst), &what);
        }
        if let (true, Some((next, _))) = (next_died, next) {
            self.next += 1;
            self.points.insert(next);
        }
    }

    /// Says what was done; every point with one of these beginnings must have killed somebody.
    fn finish(self, what: &str, beginnings: &[&str]) {
        let ours = |name: &&str| beginnings.iter().any(|b| name.starts_with(b));
        let points = points_in_the_source();
        let missing: Vec<&str> = points
            .iter()
            .map(String::as_str)
            .filter(ours)
            .filter(|name| !self.points.contains(name))
            .collect();
        eprintln!(
            "{what}: {} kills at {} points, and {} of who came next: all is right",
            self.victims,
            self.points.len(),
            self.next
        );
        assert!(missing.is_empty(), "nobody was killed at {missing:?}");
    }
}

const QUEUES: &[&str] = &["msg.", "chair."];
const SETS: &[&str] = &["sem.", "lock.", "bell."];
const SEGMENTS: &[&str] = &["shm."];
const NAMES: &[&str] = &["create.", "remove.", "names.", "limits.", "lay_out."];

#[test]
fn queues_are_right_after_a_kill_anywhere() {
    Kills::of(&queues::scenarios()).finish("queues", QUEUES);
}

#[test]
fn sets_are_right_after_a_kill_anywhere() {
    Kills::of(&sets::scenarios()).finish("sets", SETS);
}

#[test]
fn segments_are_right_after_a_kill_anywhere() {
    Kills::of(&segments::scenarios()).finish("segments", SEGMENTS);
}

#[test]
fn names_are_right_after_a_kill_anywhere() {
    Kills::of(&names::scenarios()).finish("names", NAMES);
}

/// Each is the business of one of the tests above.
#[test]
fn every_point_in_the_source_has_a_test() {
    let mut points = points_in_the_source();
    let all = points.len();
    points.sort_unstable();
    points.dedup();
    assert_eq!(points.len(), all, "a name stands for two points");
    for point in points {
        let tests = [QUEUES, SETS, SEGMENTS, NAMES].concat();
        assert!(tests.iter().any(|t| point.starts_with(t)), "{point}");
    }
}

/// `USYSV_RELEASE_LIBRARY` names it; `make crash` does. This program, which has the points, shows that
/// they would be found.
#[test]
fn a_release_library_has_no_kill_point() {
    let points = points_in_the_source();
    let found = |path: &std::path::Path| {
        let program = std::fs::read(path).expect("a program");
        let program = String::from_utf8_lossy(&program);
        let has = |name: &&String| program.contains(name.as_str());
        points.iter().filter(has).count()
    };
    let ours = std::env::current_exe().expect("this program");
    assert_eq!(found(&ours), points.len(), "points in {ours:?}");
    match std::env::var_os("USYSV_RELEASE_LIBRARY") {
        None => eprintln!("crash: no USYSV_RELEASE_LIBRARY was named, so none was looked at"),
        Some(library) => {
            assert_eq!(
                found(std::path::Path::new(&library)),
                0,
                "points in {library:?}"
            );
            eprintln!("{library:?}: none of {} kill points is in it", points.len());
        }
    }
}

fn points_in_the_source() -> Vec<String> {
    let mut found = Vec::new();
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    add_points_of(&sources, &mut found);
    assert!(found.len() > 200, "where have the points gone?");
    found
}

fn add_points_of(dir: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("the sources") {
        let path = entry.expect("the sources").path();
        if path.is_dir() {
            add_points_of(&path, found);
        } else if path.file_name().is_some_and(|name| name != "crash.rs") {
            let source = std::fs::read_to_string(&path).expect("the sources");
            let uses = source.split("crashpoint!(\"").skip(1);
            found.extend(uses.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}
