//! The bytes of an object's file are the fuzzer's, and so are the calls that follow.
//!
//! An input is one byte for the kind and how the object is met (mapped, or opened afresh), six for
//! the calls, and the bytes that the object's file begins with. The lock's word is free or a dead
//! holder's: made-up holders are waited for, and have a suite of their own.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/usysv/tests/hostile/dice.rs"]
mod dice;
#[allow(dead_code)]
#[path = "../../crates/usysv/tests/hostile/victim.rs"]
mod victim;

use dice::Dice;
use libfuzzer_sys::fuzz_target;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use usysv::abi::{IPC_CREAT, IPC_NOWAIT};
use usysv::{Engine, Messages, Namespace, Semaphores, SharedMemory};
use victim::Objects;

/// Bytes of a sound file that are put back before each input.
const KEPT: usize = 64 << 10;
const HEAD: usize = 7;
const STATE: u64 = 24;
const LOCK: u64 = 64;
const OWNER_DIED: u32 = 1 << 30;

struct Place {
    engine: Engine,
    objects: Objects,
    files: Vec<Sound>,
}

/// An object's file as it was made.
struct Sound {
    path: PathBuf,
    len: u64,
    bytes: Vec<u8>,
}

fn make() -> Place {
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine = engine.expect("an engine");
    let key = 1;
    let msqid = engine.msgget(key, IPC_CREAT | 0o600).expect("msgget");
    for (mtype, len) in [(1, 10), (2, 1000), (1, 3000), (3, 0), (2, 73)] {
        engine
            .msgsnd(msqid, mtype, &[7; 3000][..len], IPC_NOWAIT)
            .expect("msgsnd");
    }
    let semid = engine.semget(key, 5, IPC_CREAT | 0o600).expect("semget");
    let shmid = engine
        .shmget(key, 3 * 4096, IPC_CREAT | 0o600)
        .expect("shmget");
    let root = PathBuf::from(engine.namespace().path().to_str().expect("a plain path"));
    let files = [("msg", msqid), ("sem", semid), ("shm", shmid)].map(|(kind, id)| {
        let path = root.join(kind).join(id.to_string());
        let mut bytes = fs::read(&path).expect("the file");
        let len = bytes.len() as u64;
        bytes.truncate(KEPT);
        Sound { path, len, bytes }
    });
    Place {
        engine,
        objects: Objects {
            key,
            msqid,
            semid,
            shmid,
        },
        files: files.into(),
    }
}

impl Place {
    /// Puts every file back as it was made, whatever the calls did to the names.
    fn restore(&self) {
        for sound in &self.files {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&sound.path);
            let file = file.expect("the file");
            file.set_len(0).expect("emptied");
            file.set_len(sound.len).expect("as long as before");
            file.write_all_at(&sound.bytes, 0).expect("as before");
        }
        let root = PathBuf::from(
            self.engine
                .namespace()
                .path()
                .to_str()
                .expect("a plain path"),
        );
        let data = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join("shm/0.data"));
        data.expect("the bytes")
            .set_len(3 * 4096)
            .expect("three pages");
        for kind in ["msg", "sem", "shm"] {
            let _ = std::os::unix::fs::symlink("0", root.join(format!("key/{kind}.00000001")));
        }
    }

    fn ask_each(&self) {
        let _ = self.engine.msg_stat(self.objects.msqid);
        let _ = self.engine.sem_stat(self.objects.semid);
        let _ = self.engine.shm_stat(self.objects.shmid);
    }
}

fn play(place: &Place, input: &[u8]) {
    let Some((head, bytes)) = input.split_at_checked(HEAD) else {
        return;
    };
    place.restore();
    let sound = &place.files[head[0] as usize % 3];
    let file = File::options()
        .write(true)
        .open(&sound.path)
        .expect("the file");
    if head[0] & 0x80 != 0 {
        // Lost to who has it mapped: the next call opens it afresh.
        file.write_all_at(&[0; 4], STATE).expect("written");
    }
    place.ask_each();
    let bytes = &bytes[..bytes.len().min(sound.len as usize)];
    file.write_all_at(&sound.bytes, 0).expect("written");
    file.write_all_at(bytes, 0).expect("written");
    let word = if head[0] & 0x40 != 0 { OWNER_DIED } else { 0 };
    file.write_all_at(&word.to_ne_bytes(), LOCK)
        .expect("written");
    for (n, choice) in head[1..].iter().enumerate() {
        let mut dice = Dice::new(u64::from(*choice) << 8 | n as u64);
        victim::one(
            &place.engine,
            &place.objects,
            &mut dice,
            u64::from(*choice) % victim::KINDS,
        );
    }
}

fuzz_target!(|input: &[u8]| {
    static PLACE: OnceLock<Place> = OnceLock::new();
    play(PLACE.get_or_init(make), input);
});
