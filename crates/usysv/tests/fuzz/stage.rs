//! Both sides, a step at a time.

use crate::player::Player;
use crate::steps::{PLAYERS, Patience, Step};
use std::rc::Rc;
use std::time::{Duration, Instant};
use usysv::{Engine, Errno, Kernel, Namespace, SemField, Semaphores};

/// How long the sides may take to show the same: the engine's sleepers notice a death at a beat.
const PATIENCE: Duration = Duration::from_secs(2);

type Outcome<T> = Result<T, Errno>;

/// What one semaphore shows: value, role of the pid, GETNCNT, GETZCNT.
type Sem = (u16, String, i32, i32);

/// What a set shows: whether it was operated on, its mode, and its semaphores.
type Look = Outcome<(bool, u16, Vec<Sem>)>;

struct Side {
    backend: Rc<dyn Semaphores>,
    players: Vec<Player>,
    sets: Vec<i32>,
    roles: Vec<(i32, String)>,
}

pub struct Stage {
    sides: [Side; 2],
    engine: Rc<Engine>,
}

impl Side {
    fn new(backend: Rc<dyn Semaphores>) -> Side {
        let players = (0..PLAYERS)
            .map(|_| Player::start(&*backend))
            .collect::<Vec<_>>();
        Side {
            backend,
            players,
            sets: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// Which set, counted in the order of their making, has this id.
    fn set_of(&mut self, id: i32) -> usize {
        let known = self.sets.iter().position(|set| *set == id);
        known.unwrap_or_else(|| {
            self.sets.push(id);
            self.sets.len() - 1
        })
    }

    fn role(&self, pid: i32) -> String {
        let known = self.roles.iter().rev().find(|(p, _)| *p == pid);
        known.map_or_else(|| pid.to_string(), |(_, role)| role.clone())
    }

    fn cast(&mut self) {
        self.roles = vec![(0, "nobody".into()), (own_pid(), "driver".into())];
        for i in 0..PLAYERS {
            self.roles
                .push((self.players[i].pid, format!("player {i}")));
        }
    }

    fn renew(&mut self, i: usize, end: impl FnOnce(Player)) {
        let fresh = Player::start(&*self.backend);
        let life = self.roles.len();
        self.roles
            .push((fresh.pid, format!("player {i}, life {life}")));
        end(std::mem::replace(&mut self.players[i], fresh));
    }

    fn look(&self, set: usize) -> Look {
        let (id, backend) = (self.sets[set], &self.backend);
        let ds = backend.sem_stat(id)?;
        let mut values = vec![0; ds.sem_nsems as usize];
        backend.sem_get_all(id, &mut values)?;
        let sem = |num: usize| -> Outcome<Sem> {
            let get = |field| backend.sem_get(id, num as i32, field);
            assert_eq!(get(SemField::Value)?, i32::from(values[num]), "GETVAL");
            let pid = self.role(get(SemField::Pid)?);
            Ok((values[num], pid, get(SemField::Ncnt)?, get(SemField::Zcnt)?))
        };
        let sems = (0..values.len()).map(sem).collect::<Outcome<Vec<_>>>()?;
        Ok((ds.sem_otime != 0, ds.sem_perm.mode, sems))
    }

    /// Has the dead undone by whoever looks first: the driver.
    fn undo(&self) {
        for set in &self.sets {
            // A removed set has nothing to be undone.
            let _ = self.backend.sem_get(*set, 0, SemField::Value);
        }
    }

    /// Makes a step; gives what the driver's own call gave.
    fn make(&mut self, step: &Step) -> Outcome<usize> {
        let sets = self.sets.len();
        let id = |set: usize| self.sets.get(set % sets.max(1)).copied().unwrap_or(-1);
        match step {
            Step::Get { key, nsems, flags } => {
                let id = self.backend.semget(*key, *nsems, *flags)?;
                return Ok(self.set_of(id));
            }
            Step::Op {
                player,
                set,
                ops,
                patience,
            } => {
                let id = id(*set);
                // In place of one who sleeps, the next who does not.
                let order = (0..PLAYERS).map(|i| (player + i) % PLAYERS);
                let idle = order.into_iter().find(|i| !self.players[*i].busy);
                if let Some(idle) = idle {
                    self.players[idle].begin(id, ops, *patience);
                    while *patience == Patience::Short && self.players[idle].settle().is_none() {
                        std::thread::yield_now();
                    }
                    self.players[idle].busy = true;
                }
            }
            Step::SetVal { set, num, value } => self.backend.sem_put(id(*set), *num, *value)?,
            Step::SetAll { set, values } => {
                let id = id(*set);
                let nsems = self.backend.sem_stat(id)?.sem_nsems as usize;
                self.backend.sem_put_all(id, &values[..nsems])?;
            }
            Step::Own { set } => {
                let mut ds = self.backend.sem_stat(id(*set))?;
                ds.sem_perm.mode ^= 0o040;
                self.backend.sem_set(id(*set), &ds)?;
            }
            Step::Remove { set } => self.backend.sem_remove(id(*set))?,
            Step::Signal { player } => self.players[*player].signal(libc::SIGUSR1),
            Step::Exit { player, look } => {
                if !self.players[*player].busy {
                    self.renew(*player, Player::exit);
                    self.undo_if(*look);
                }
            }
            Step::Kill { player, look } => {
                self.renew(*player, drop);
                self.undo_if(*look);
            }
        }
        Ok(0)
    }

    fn undo_if(&self, look: bool) {
        if look {
            self.undo();
        }
    }

    /// Collects what has returned by now.
    fn settle(&mut self, returned: &mut [Option<i32>; PLAYERS]) {
        for (player, result) in self.players.iter_mut().zip(returned) {
            if player.busy {
                *result = player.settle();
            }
        }
    }

    fn clear(&mut self) {
        for id in std::mem::take(&mut self.sets) {
            let _ = self.backend.sem_remove(id);
        }
        self.settle_all();
    }

    fn settle_all(&mut self) {
        for player in &mut self.players {
            while player.busy && player.settle().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Stage {
    pub fn new() -> Stage {
        let namespace = Namespace::create_private(None).expect("a namespace");
        let engine = Rc::new(Engine::new(namespace).expect("an engine"));
        Stage {
            sides: [Side::new(Rc::new(Kernel)), Side::new(engine.clone())],
            engine,
        }
    }

    /// Plays a sequence; gives its length, or what differed.
    pub fn play(&mut self, steps: &[Step]) -> Result<u64, String> {
        self.sides.iter_mut().for_each(Side::cast);
        for (number, step) in steps.iter().enumerate() {
            self.step(step)
                .map_err(|why| format!("step {number}, {step:?}: {why}"))?;
        }
        self.sides.iter_mut().for_each(Side::clear);
        Ok(steps.len() as u64)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let [kernel, engine] = &mut self.sides;
        same("the driver's call", kernel.make(step), engine.make(step))?;
        let mut returned = [[None; PLAYERS]; 2];
        let deadline = Instant::now() + PATIENCE;
        loop {
            kernel.settle(&mut returned[0]);
            engine.settle(&mut returned[1]);
            if returned[0] == returned[1] || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let [theirs, ours] = returned;
        same("what players returned with", theirs, ours)?;
        for set in 0..kernel.sets.len() {
            same(&format!("set {set}"), kernel.look(set), engine.look(set))?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let kernel = &mut self.sides[0];
        for id in std::mem::take(&mut kernel.sets) {
            let _ = kernel.backend.sem_remove(id);
        }
        self.sides.iter_mut().for_each(|side| side.players.clear());
        let _ = self.engine.namespace().destroy();
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, kernel: T, engine: T) -> Result<(), String> {
    match kernel == engine {
        true => Ok(()),
        false => Err(format!("{what}\n  kernel {kernel:?}\n  engine {engine:?}")),
    }
}

fn own_pid() -> i32 {
    std::process::id() as i32
}
