//! One side: the house, its players, and what they are seen to do.

use crate::calls::{Call, Gives};
use crate::mail::{Field, LOOKS, Mail, Order, PLAYERS, Progress, Reply, eventually};
use crate::msg;
use crate::steps::Step;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use usysv_conformance::runner;
use usysv_conformance::world::WorldDirectory;

/// How long a process may take over an order, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an order gave, with the numbers replaced that differ from side to side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub ret: i64,
    pub errno: i32,
    pub seen: Vec<(Field, i64)>,
}

pub struct Member {
    /// Of its process, which other threads may share.
    pid: i32,
    tid: i32,
    /// Of the thread.
    stat: File,
    /// Readable when the process has ended. Asking `stat` then would keep its memory alive, and
    /// have its attachments end in our name.
    ended: OwnedFd,
    /// The call that the driver has not seen return.
    pub busy: Option<Call>,
    pub uid: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Asleep,
    Returned,
    Dead,
}

pub struct Side {
    house: Child,
    mail: Mail,
    pub members: [Option<Member>; PLAYERS + 1],
    /// Ids by mechanism, in the order in which they were first seen.
    pub objects: [Vec<i32>; 3],
    /// Who made them, by mechanism and id.
    pub makers: BTreeMap<(usize, i32), u32>,
    /// A receiver was killed in its sleep.
    pub receiver_died: bool,
    /// There are other limits than at first.
    pub limited: bool,
    /// Threads and their processes, in the order of birth.
    born: Vec<(i32, i32)>,
    /// From which on times are shown, or none if only whether there was one.
    pub origin: Option<i64>,
    _directory: Option<WorldDirectory>,
}

impl Member {
    fn new(pid: i32, tid: i32, uid: u32) -> Result<Member, String> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
        let stat = File::open(format!("/proc/{pid}/task/{tid}/stat"));
        let (Ok(stat), true) = (stat, fd >= 0) else {
            return Err(format!("thread {tid} of {pid} is not there"));
        };
        // SAFETY: a new descriptor, ours.
        let ended = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Member {
            pid,
            tid,
            stat,
            ended,
            busy: None,
            uid,
        })
    }

    /// The letter of the thread's state; none: it is no more.
    fn state(&self) -> Option<u8> {
        let mut text = [0; 64];
        let len = self.stat.read_at(&mut text, 0).ok()?;
        let end = text[..len].iter().rposition(|&c| c == b')')?;
        text.get(end + 2).copied()
    }

    /// Has not returned from a receive.
    fn receives(&self) -> bool {
        matches!(self.busy, Some(Call::Msg(msg::Call::Receive { .. })))
    }
}

impl Side {
    /// In this thread's IPC namespace, or with the library that is beside this program.
    pub fn new(library_beside: Option<&Path>) -> Result<Side, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let fd = Mail::create();
        let mut command = Command::new(program);
        command
            .args(["house", &fd.to_string(), "0", "0", "1"])
            .process_group(0)
            .env_remove("LD_PRELOAD");
        let directory = match library_beside {
            None => None,
            Some(program) => {
                let library = runner::library(program)?;
                let directory = WorldDirectory::new()?;
                command.env("USYSV_NS", directory.namespace(&library)?);
                command.env("LD_PRELOAD", library);
                Some(directory)
            }
        };
        let house = command.spawn().map_err(|error| error.to_string())?;
        let mut side = Side {
            house,
            mail: Mail::open(fd),
            members: Default::default(),
            objects: Default::default(),
            makers: BTreeMap::new(),
            receiver_died: false,
            limited: false,
            born: Vec::new(),
            origin: None,
            _directory: directory,
        };
        side.look()?;
        Ok(side)
    }

    /// Begins a sequence.
    pub fn begin(&mut self, origin: i64) {
        self.origin = Some(origin);
        self.receiver_died = false;
        let house = self.house.id() as i32;
        self.born = vec![(house, house)];
    }

    /// Ends a sequence: nobody and nothing is left.
    pub fn clear(&mut self) -> Result<(), String> {
        for slot in 1..=PLAYERS {
            self.end(slot, |member, _| kill(member.pid, libc::SIGKILL))?;
        }
        if std::mem::take(&mut self.limited) {
            self.house(Order::Limit(None))?;
        }
        for mechanism in 0..3 {
            self.makers.clear();
            for id in std::mem::take(&mut self.objects[mechanism]) {
                self.house(Order::Clear(mechanism, id))?;
            }
        }
        Ok(())
    }

    /// Begins a step; gives the player who makes it, if it may take a while.
    pub fn start(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Call { player, call } => {
                let Some(player) = self.idle(player) else {
                    return Ok(());
                };
                let uid = self.member(player).uid;
                if let Some(call) = self.resolve(call, uid) {
                    if let Call::Become { uid, .. } = call {
                        if !self.may_become(player) {
                            return Ok(());
                        }
                        for slot in self.process(player) {
                            self.member(slot).uid = uid;
                        }
                    }
                    self.member(player).busy = Some(call);
                    self.mail.tell(player, Order::Call(call));
                }
            }
            Step::Enter { player } => self.beget(0, player, Order::Fork(player))?,
            Step::Fork { player, child } => {
                if let Some(player) = self.idle(player) {
                    self.beget(player, child, Order::Fork(child))?;
                }
            }
            Step::Thread { player, other } => {
                if let Some(player) = self.idle(player) {
                    self.beget(player, other, Order::Thread(other))?;
                }
            }
            Step::Signal { player } => {
                if let Some(member) = &self.members[player] {
                    // SAFETY: no pointers; a thread of ours.
                    unsafe {
                        libc::syscall(libc::SYS_tgkill, member.pid, member.tid, libc::SIGUSR1)
                    };
                }
            }
            Step::Pause { player } => {
                if self.members[player].is_some() && self.may_pause(player) {
                    self.pause(player)?;
                }
            }
            Step::Leave { player } => {
                if self.idle(player) == Some(player) && self.process(player).len() > 1 {
                    self.leave(player)?;
                }
            }
            Step::Exec { player, look } => {
                // With another user's id, the loader would not preload anything.
                if self.idle(player) == Some(player) && !self.is_user(player) {
                    self.exec(player)?;
                    self.undo_if(look)?;
                }
            }
            Step::Limit { limit, value } => {
                self.limited = true;
                let shown = self.house(Order::Limit(Some((limit, value))))?;
                if shown.ret < 1 {
                    return Err(format!("{limit:?} cannot be set: {shown:?}"));
                }
            }
            Step::Exit { player, look } => {
                if self.idle(player) == Some(player) {
                    self.end(player, |_, mail| mail.tell(player, Order::Exit))?;
                    self.undo_if(look)?;
                }
            }
            Step::Kill { player, look } => {
                self.end(player, |member, _| kill(member.pid, libc::SIGKILL))?;
                self.undo_if(look)?;
            }
        }
        Ok(())
    }

    /// Has the dead undone by whoever looks first: the house.
    fn undo_if(&mut self, look: bool) -> Result<(), String> {
        if look {
            self.look()?;
        }
        Ok(())
    }

    fn member(&mut self, slot: usize) -> &mut Member {
        self.members[slot].as_mut().expect("a player in this slot")
    }

    /// Whether a player is somebody else than root.
    pub fn is_user(&self, player: usize) -> bool {
        self.members[player]
            .as_ref()
            .is_some_and(|member| member.uid != 0)
    }

    /// This player, or the next one, who does not sleep.
    fn idle(&self, player: usize) -> Option<usize> {
        let mut order = (player..=PLAYERS).chain(1..player);
        order.find(|slot| {
            self.members[*slot]
                .as_ref()
                .is_some_and(|m| m.busy.is_none())
        })
    }

    /// Has a player fork or begin a thread, for a slot.
    fn beget(&mut self, parent: usize, slot: usize, order: Order) -> Result<(), String> {
        if self.members[slot].is_some() {
            return Ok(());
        }
        self.mail.reset(slot);
        let tid = self.obey(parent, order)?;
        let parent = self.members[parent].as_ref();
        let pid = match (order, parent) {
            (Order::Thread(_), Some(parent)) => parent.pid,
            _ => tid,
        };
        let uid = parent.map_or(0, |parent| parent.uid);
        self.born.push((tid, pid));
        self.members[slot] = Some(Member::new(pid, tid, uid)?);
        Ok(())
    }

    /// The result of an order that takes no time.
    fn obey(&self, slot: usize, order: Order) -> Result<i32, String> {
        self.mail.tell(slot, order);
        match eventually(PATIENCE, || self.mail.progress(slot) == Progress::Returned) {
            true => Ok(self.mail.reply(slot).ret as i32),
            false => Err(format!("{order:?} hangs in slot {slot}")),
        }
    }

    /// Ends a player's process.
    fn end(&mut self, slot: usize, how: impl FnOnce(&Member, Mail)) -> Result<(), String> {
        let threads = self.process(slot);
        let Some(member) = self.members[slot].take() else {
            return Ok(());
        };
        self.receiver_died |= member.receives();
        self.forget(&threads);
        how(&member, self.mail);
        match eventually(PATIENCE, || has_ended(&member)) {
            true => Ok(()),
            false => Err(format!("player {slot} does not end: {}", tells(member.pid))),
        }
    }

    /// These threads end with their process.
    fn forget(&mut self, threads: &[usize]) {
        for slot in threads {
            let ended = self.members[*slot].take();
            self.receiver_died |= ended.is_some_and(|member| member.receives());
        }
    }

    /// The slots of a player's process.
    pub fn process(&self, player: usize) -> Vec<usize> {
        let Some(pid) = self.members[player].as_ref().map(|member| member.pid) else {
            return Vec::new();
        };
        let of_it = |slot: &usize| self.members[*slot].as_ref().is_some_and(|m| m.pid == pid);
        (1..=PLAYERS).filter(of_it).collect()
    }

    pub fn has_first_thread(&self, player: usize) -> bool {
        let members = self.process(player).into_iter();
        let mut members = members.filter_map(|slot| self.members[slot].as_ref());
        members.any(|member| member.tid == member.pid)
    }

    /// Ends a player's thread.
    fn leave(&mut self, player: usize) -> Result<(), String> {
        self.mail.tell(player, Order::Leave);
        let member = self.members[player].take().expect("a player in this slot");
        // The first thread stays in the list until the process ends.
        match eventually(PATIENCE, || matches!(member.state(), None | Some(b'Z'))) {
            true => Ok(()),
            false => Err(format!(
                "player {player} does not leave: {}",
                tells(member.pid)
            )),
        }
    }

    fn exec(&mut self, player: usize) -> Result<(), String> {
        if self.obey(player, Order::Exec)? != 0 {
            return Err(format!("player {player} cannot exec"));
        }
        let (pid, uid) = (self.member(player).pid, self.member(player).uid);
        self.forget(&self.process(player));
        self.members[player] = Some(Member::new(pid, pid, uid)?);
        Ok(())
    }

    fn pause(&mut self, player: usize) -> Result<(), String> {
        let threads = self.process(player);
        let pid = self.member(player).pid;
        let members = || {
            threads
                .iter()
                .filter_map(|slot| self.members[*slot].as_ref())
        };
        let stops = |member: &Member| member.state() == Some(b'T');
        kill(pid, libc::SIGSTOP);
        let stopped = eventually(PATIENCE, || members().all(stops));
        kill(pid, libc::SIGCONT);
        match stopped && eventually(PATIENCE, || !members().any(stops)) {
            true => Ok(()),
            false => Err(format!("player {player} does not pause: {}", tells(pid))),
        }
    }

    /// Waits until all players have returned or sleep; collects what has returned.
    pub fn settle(&mut self, returned: &mut BTreeMap<usize, Shown>) -> Result<(), String> {
        loop {
            // Who was not found asleep at once may have woken one who was, before.
            let mut calm = true;
            for slot in 1..=PLAYERS {
                let Some(call) = self.members[slot].as_ref().and_then(|member| member.busy) else {
                    continue;
                };
                let mut state = self.state(slot, &call);
                calm &= state == State::Asleep;
                if state == State::Running {
                    eventually(PATIENCE, || {
                        state = self.state(slot, &call);
                        state != State::Running
                    });
                }
                match state {
                    State::Asleep => {}
                    State::Running => return Err(self.hangs(slot, &call)),
                    State::Dead => return Err(format!("player {slot} has died in {call}")),
                    State::Returned => {
                        self.member(slot).busy = None;
                        returned.insert(slot, self.returned(slot, &call));
                    }
                }
            }
            if calm {
                return Ok(());
            }
        }
    }

    fn hangs(&self, slot: usize, call: &Call) -> String {
        let pid = self.members[slot].as_ref().map_or(0, |member| member.pid);
        let progress = self.mail.progress(slot);
        format!(
            "player {slot} hangs in {call}: {progress:?}, {}",
            tells(pid)
        )
    }

    fn state(&self, slot: usize, call: &Call) -> State {
        let member = self.members[slot].as_ref().expect("a player in this slot");
        let asleep = match self.mail.progress(slot) {
            Progress::Returned => return State::Returned,
            Progress::Told => false,
            Progress::Entered if call.may_sleep() => member.state() == Some(b'S'),
            Progress::Entered => false,
        };
        match self.mail.progress(slot) {
            Progress::Returned => State::Returned,
            _ if asleep => State::Asleep,
            _ if has_ended(member) => State::Dead,
            _ => State::Running,
        }
    }

    fn returned(&mut self, slot: usize, call: &Call) -> Shown {
        let mut shown = self.shown(self.mail.reply(slot));
        match (call.gives(), call.mechanism()) {
            (Gives::Id, Some(mechanism)) if shown.ret >= 0 => {
                let (id, known) = (shown.ret as i32, &mut self.objects[mechanism]);
                if !known.contains(&id) {
                    known.push(id);
                    let maker = self.members[slot].as_ref().map_or(0, |member| member.uid);
                    self.makers.insert((mechanism, id), maker);
                }
            }
            (Gives::Pid, _) => shown.ret = self.role(shown.ret),
            (_, Some(mechanism)) if shown.ret == 0 => {
                // Seldom meant from now on.
                let known = &mut self.objects[mechanism];
                if let Some(at) = call
                    .removes()
                    .and_then(|id| known.iter().position(|k| *k == id))
                {
                    known[..=at].rotate_right(1);
                }
            }
            _ => {}
        }
        shown
    }

    fn shown(&self, reply: &Reply) -> Shown {
        let seen = reply.seen().iter().map(|&(field, value)| match () {
            () if field.is_pid() => (field, self.role(value)),
            () if field.is_time() && value != 0 => {
                (field, self.origin.map_or(1, |origin| 1 + value - origin))
            }
            () => (field, value),
        });
        Shown {
            ret: reply.ret,
            errno: reply.errno,
            seen: seen.collect(),
        }
    }

    /// For a pid the number of its birth: the house is 1000, players follow; others are negative.
    /// Linux names a thread where it hands it a message. What the engine gave to a dead one before,
    /// the next one takes for itself, and so its process is named: then threads are not told apart.
    fn role(&self, id: i64) -> i64 {
        let birth_of = |id: i64| self.born.iter().rposition(|(tid, _)| i64::from(*tid) == id);
        let birth = birth_of(id).and_then(|birth| match self.receiver_died {
            true => birth_of(self.born[birth].1.into()),
            false => Some(birth),
        });
        birth.map_or(-id, |birth| 1000 + birth as i64)
    }

    /// Begins a look at the newest objects.
    pub fn tell_look(&self) {
        let ids = std::array::from_fn(|mechanism| {
            let newest = self.objects[mechanism].iter().rev();
            let mut ids = [-1; LOOKS];
            ids.iter_mut().zip(newest).for_each(|(to, id)| *to = *id);
            ids
        });
        self.mail.tell(0, Order::Look(ids));
    }

    /// What was seen.
    pub fn looked(&self) -> Result<Shown, String> {
        match eventually(PATIENCE, || self.mail.progress(0) == Progress::Returned) {
            true => Ok(self.shown(self.mail.reply(0))),
            false => Err("the house hangs".to_owned()),
        }
    }

    fn look(&mut self) -> Result<Shown, String> {
        self.tell_look();
        self.looked()
    }

    fn house(&mut self, order: Order) -> Result<Shown, String> {
        self.mail.tell(0, order);
        self.looked()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // All of them are in the house's group.
        kill(-(self.house.id() as i32), libc::SIGKILL);
        let _ = self.house.wait();
        for member in self.members.iter().flatten() {
            eventually(PATIENCE, || has_ended(member));
        }
        self.mail.close();
    }
}

/// What the kernel says of a process that should have gone on.
fn tells(pid: i32) -> String {
    ["stat", "syscall"]
        .map(|name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default())
        .concat()
}

fn has_ended(member: &Member) -> bool {
    let mut poll = libc::pollfd {
        fd: member.ended.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, and no time.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 }
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: no pointers; a process or group that we began, and whose end we wait for.
    unsafe { libc::kill(pid, signal) };
}
