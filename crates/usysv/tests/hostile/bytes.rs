//! Random nonsense in every file of a namespace, at rest and while calls run.
//!
//! `USYSV_HOSTILE_ROUNDS` says how many rounds, without it ten seconds of them;
//! `USYSV_HOSTILE_SEED` with which to begin. A round harms one or two files, once or all the time,
//! while victims make every call. What a round did is printed if it fails.

use crate::dice::Dice;
use crate::rig::*;
use crate::victim::{self, Objects};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use usysv::abi::IPC_CREAT;
use usysv::{Engine, Messages, Namespace, SemField, Semaphores, SharedMemory};

const SLICE: Duration = Duration::from_secs(10);
/// How long the files are scribbled over while the victims run.
const LIVE: Duration = Duration::from_millis(30);
const VICTIMS: u64 = 3;

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip {
        at: u64,
        bit: u8,
    },
    Fill {
        at: u64,
        len: u64,
        byte: u8,
    },
    Word {
        at: u64,
        value: u32,
    },
    Long {
        at: u64,
        value: u64,
    },
    /// A word of the file itself.
    Copy {
        from: u64,
        at: u64,
    },
    Length(u64),
}

/// Somewhere in a file, mostly where something is: in the first page, and in those with memory.
fn place(dice: &mut Dice, len: u64) -> u64 {
    let within = match dice.roll(8) {
        0..=3 => 512,
        4 | 5 => 4096,
        6 => 65536,
        _ => len,
    };
    dice.roll(within.min(len))
}

fn harm(dice: &mut Dice, len: u64) -> Harm {
    let at = place(dice, len);
    let aligned = at & !3;
    match dice.roll(20) {
        0..=3 => Harm::Flip {
            at,
            bit: dice.roll(8) as u8,
        },
        4..=6 => Harm::Fill {
            at,
            len: 1 << dice.roll(13),
            byte: [0, 0xff, 1, 0x40][dice.roll(4) as usize],
        },
        7..=11 => Harm::Word {
            at: aligned,
            value: plausible(dice, len) as u32,
        },
        12..=14 => Harm::Long {
            at: at & !7,
            value: plausible(dice, len),
        },
        15..=17 => Harm::Copy {
            from: place(dice, len) & !3,
            at: aligned,
        },
        18 => Harm::Length([0, dice.roll(len), 4096, dice.roll(256)][dice.roll(4) as usize]),
        _ => Harm::Length(len + dice.roll(1 << 20)),
    }
}

/// A number that could be an index, a count, an offset, a lock's word, or just beyond one.
fn plausible(dice: &mut Dice, len: u64) -> u64 {
    let near = dice.roll(9).wrapping_sub(4);
    match dice.roll(9) {
        0..=2 => dice.roll(9),
        3 => dice.roll(70_000),
        4 => len.wrapping_add(near),
        5 => u64::from(u32::MAX).wrapping_add(near),
        6 => u64::MAX.wrapping_sub(dice.roll(3)),
        7 => (1u64 << dice.roll(64)).wrapping_add(near),
        // Waiters, a dead holder, a holder that is not there.
        _ => [1 << 31, 1 << 30, 3 << 30, 0x3fff_fffe][dice.roll(4) as usize],
    }
}

impl Harm {
    fn apply(self, file: &File) {
        // A file that became shorter gets what it can.
        let _ = match self {
            Harm::Flip { at, bit } => {
                read(file, at).and_then(|old: [u8; 1]| file.write_all_at(&[old[0] ^ 1 << bit], at))
            }
            Harm::Fill { at, len, byte } => file.write_all_at(&vec![byte; len as usize], at),
            Harm::Word { at, value } => file.write_all_at(&value.to_ne_bytes(), at),
            Harm::Long { at, value } => file.write_all_at(&value.to_ne_bytes(), at),
            Harm::Copy { from, at } => {
                read(file, from).and_then(|old: [u8; 4]| file.write_all_at(&old, at))
            }
            Harm::Length(len) => file.set_len(len),
        };
    }
}

fn read<const N: usize>(file: &File, at: u64) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).map(|()| bytes)
}

/// A namespace with objects to harm, and others that nobody may touch.
struct Place {
    world: World,
    objects: Objects,
    others: Objects,
}

impl Place {
    fn new() -> Place {
        let world = World::new();
        let [objects, others] = [1, 2].map(|key| make(&world.0, key));
        Place {
            world,
            objects,
            others,
        }
    }

    fn root(&self) -> PathBuf {
        PathBuf::from(
            self.world
                .0
                .namespace()
                .path()
                .to_str()
                .expect("a plain path"),
        )
    }

    /// Every file that may be harmed.
    fn files(&self) -> Vec<PathBuf> {
        let index = |id: i32| id % 32768;
        let o = &self.objects;
        let mut names = vec![
            format!("msg/{}", index(o.msqid)),
            format!("sem/{}", index(o.semid)),
            format!("shm/{}", index(o.shmid)),
            format!("shm/{}.data", index(o.shmid)),
        ];
        // The objects, whose files hold most, come more often.
        names.extend(names.clone());
        names.extend(["ns", "counters", "bells", "limits/msgmax", "limits/sem"].map(String::from));
        names.iter().map(|name| self.root().join(name)).collect()
    }

    /// What nobody may touch, but for the locks' own words.
    fn untouched(&self) -> Vec<Vec<u8>> {
        let index = |id: i32| id % 32768;
        let o = &self.others;
        let names = [
            format!("msg/{}", index(o.msqid)),
            format!("sem/{}", index(o.semid)),
            format!("shm/{}", index(o.shmid)),
            format!("shm/{}.data", index(o.shmid)),
        ];
        let read = |name: &String| {
            let mut bytes = std::fs::read(self.root().join(name)).expect("the other object's file");
            if !name.ends_with(".data") {
                bytes[64..128].fill(0);
            }
            bytes
        };
        let mut all: Vec<_> = names.iter().map(read).collect();
        for kind in ["msg", "sem", "shm"] {
            let link = std::fs::read_link(self.root().join(format!("key/{kind}.{:08x}", 2)));
            all.push(
                link.expect("the other object's key")
                    .into_os_string()
                    .into_encoded_bytes(),
            );
        }
        all
    }
}

fn make(engine: &Engine, key: i32) -> Objects {
    let msqid = engine.msgget(key, IPC_CREAT | 0o600).expect("msgget");
    for (mtype, len) in [(1, 10), (2, 1000), (1, 3000), (3, 0), (2, 73)] {
        send(engine, msqid, &text(mtype, len));
    }
    let semid = engine.semget(key, 5, IPC_CREAT | 0o600).expect("semget");
    engine.sem_put_all(semid, &[1, 2, 0, 4, 5]).expect("SETALL");
    let shmid = engine
        .shmget(key, 3 * 4096, IPC_CREAT | 0o600)
        .expect("shmget");
    Objects {
        key,
        msqid,
        semid,
        shmid,
    }
}

/// What a round did, to be printed if it fails.
struct Account {
    seed: u64,
    live: bool,
    done: Vec<String>,
}

impl Account {
    fn add(&mut self, path: &Path, harm: Harm) {
        if self.done.len() < 40 {
            self.done.push(format!("{}: {harm:x?}", name(path)));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "hostile: seed {}, while calls ran: {}",
                self.seed, self.live
            );
            self.done.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// A file to be harmed, and its length before.
struct Target {
    path: PathBuf,
    file: File,
    len: u64,
}

fn choose(place: &Place, dice: &mut Dice) -> Vec<Target> {
    let files = place.files();
    let mut one = || {
        let path = files[dice.roll(files.len() as u64) as usize].clone();
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .expect("the file");
        let len = file.metadata().expect("its length").len();
        Target { path, file, len }
    };
    let first = one();
    let second = one();
    vec![first, second]
}

/// The first has everything mapped already, the others come to what they find.
fn start(engine: &Engine, number: u64, objects: &Objects, seed: u64, most: Duration) -> Child {
    Child::fork(|| {
        victim::limit();
        if number == 0 {
            return victim::play(engine, objects, Dice::new(seed), most);
        }
        // A namespace that is refused cannot harm anybody.
        if let Ok(fresh) = Namespace::open(engine.namespace().path()).and_then(Engine::new) {
            victim::play(&fresh, objects, Dice::new(seed), most);
        }
    })
}

fn round(seed: u64) {
    let mut dice = Dice::new(seed);
    let place = Place::new();
    let before = place.untouched();
    let mut targets = choose(&place, &mut dice);
    targets.truncate(1 + dice.roll(2) as usize);
    let live = dice.roll(2) == 0;
    let mut account = Account {
        seed,
        live,
        done: Vec::new(),
    };
    let most = match live {
        true => victim::MOST_LIVE,
        false => victim::MOST,
    };
    let engine = &place.world.0;
    let seeds: Vec<_> = (0..VICTIMS).map(|_| dice.next()).collect();
    let victims = || -> Vec<_> {
        let numbered = (0..).zip(&seeds);
        numbered
            .map(|(n, seed)| start(engine, n, &place.objects, *seed, most))
            .collect()
    };
    let mut harm_each = |times: u64| {
        for target in &targets {
            for _ in 0..times {
                let harm = harm(&mut dice, target.len);
                harm.apply(&target.file);
                account.add(&target.path, harm);
            }
        }
        Duration::from_micros(dice.roll(800))
    };
    let children = if live {
        let children = victims();
        let begun = Instant::now();
        while begun.elapsed() < LIVE {
            std::thread::sleep(harm_each(1));
        }
        children
    } else {
        harm_each(3);
        victims()
    };
    for (n, child) in children.into_iter().enumerate() {
        assert_eq!(child.wait(), End::Exit(0), "victim {n}");
    }
    // Only the namespace's owner writes these: another boot in them empties it all, other limits
    // forbid what was allowed.
    if targets.iter().any(|t| t.path.ends_with("ns")) {
        return;
    }
    assert!(place.untouched() == before, "another object was touched");
    if !targets.iter().any(|t| name(&t.path).contains("limits/")) {
        survivor("the harm", || check_others(engine, &place.others));
    }
}

fn name(path: &Path) -> String {
    let parts: Vec<_> = path
        .iter()
        .rev()
        .take(2)
        .map(|p| p.to_string_lossy())
        .collect();
    format!("{}/{}", parts[1], parts[0])
}

/// What nobody harmed works as before.
fn check_others(engine: &Engine, others: &Objects) {
    let expected: Vec<_> = [(1, 10), (2, 1000), (1, 3000), (3, 0), (2, 73)]
        .iter()
        .map(|(t, len)| text(*t, *len))
        .collect();
    check_queue(engine, others.msqid, &expected);
    let values = [1, 2, 0, 4, 5];
    for (num, value) in values.into_iter().enumerate() {
        assert_eq!(
            engine.sem_get(others.semid, num as i32, SemField::Value),
            Ok(value)
        );
    }
    assert_eq!(
        engine.shm_stat(others.shmid).expect("IPC_STAT").shm_segsz,
        3 * 4096
    );
}

pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: not a number")),
    )
}

/// The seed that was asked for, or one that nobody had.
pub fn first_seed() -> u64 {
    let clock = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .expect("a clock")
            .as_micros() as u64
    };
    number("USYSV_HOSTILE_SEED").unwrap_or_else(clock)
}

#[test]
fn victims_survive_any_bytes() {
    let first = first_seed();
    let wanted = number("USYSV_HOSTILE_ROUNDS");
    let (begun, mut rounds) = (Instant::now(), 0);
    for seed in first.. {
        // In a process of its own, which leaves no mapping behind.
        assert_eq!(
            Child::fork(|| round(seed)).wait(),
            End::Exit(0),
            "seed {seed}"
        );
        rounds += 1;
        if wanted.map_or(begun.elapsed() >= SLICE, |wanted| rounds >= wanted) {
            break;
        }
    }
    let victims = rounds * VICTIMS;
    eprintln!(
        "hostile: {rounds} rounds from seed {first}, {victims} victims, {:?}",
        begun.elapsed()
    );
}
