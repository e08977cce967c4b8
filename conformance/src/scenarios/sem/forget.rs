//! `SEM_UNDO` that comes to nothing, or to something else: `SETVAL`, removal, several holders.

use super::undo::{does, holder};
use crate::players::Gate;
use crate::process::{Ending, own_pid};
use crate::scenarios::{Scenario, table};
use crate::sem::op;
use crate::stage::Stage;
use libc::{EAGAIN, EINVAL, IPC_CREAT, SIGKILL};

pub(super) const ALL: &[Scenario] = table![
    setval_forgets_everybodys_undo_on_one_semaphore,
    setval_of_the_same_value_forgets_too,
    setall_forgets_everybodys_undo_on_the_set,
    undo_counts_again_after_setval,
    removed_set_forgets_undo,
    undo_does_not_reach_a_set_of_the_same_key,
    undo_on_a_new_set_after_the_old_was_removed,
    two_holders_undo_their_own,
    undo_of_a_live_process_is_not_applied,
    killed_holder_of_a_mutex_gives_it_to_the_next,
    end_of_a_process_stamps_a_set_that_it_only_failed_on,
    undo_is_seen_as_soon_as_the_dead_is_reaped,
];

fn setval_forgets_everybodys_undo_on_one_semaphore(t: &Stage) {
    let set = t.set_of(&[9, 9]);
    let children =
        ["one", "two"].map(|name| holder(t, name, set, &[op(0, -1).undo(), op(1, -1).undo()]));
    t.setval(set, 0, 5).must();
    children.into_iter().for_each(|child| t.kill(child));
    t.holds(set, &[5, 9]);
}

fn setval_of_the_same_value_forgets_too(t: &Stage) {
    let set = t.set_of(&[9]);
    let child = holder(t, "holder", set, &[op(0, -1).undo()]);
    t.setval(set, 0, 8).must();
    t.kill(child);
    t.holds(set, &[8]);
}

fn setall_forgets_everybodys_undo_on_the_set(t: &Stage) {
    let (set, other) = (t.set_of(&[9, 9]), t.set_of(&[9]));
    let child = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).undo()]).must();
        t.semop(other, &[op(0, -1).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.setall(set, &[5, 6]).must();
    t.kill(child);
    t.holds(set, &[5, 6]);
    t.holds(other, &[9]);
}

fn undo_counts_again_after_setval(t: &Stage) {
    let set = t.set_of(&[9]);
    does(t, |t| {
        t.semop(set, &[op(0, -4).undo()]).must();
        t.setval(set, 0, 20).must();
        t.semop(set, &[op(0, -3).undo()]).must();
        t.holds(set, &[17]);
    });
    t.holds(set, &[20]);
}

fn removed_set_forgets_undo(t: &Stage) {
    let (set, other) = (t.set_of(&[9]), t.set_of(&[9]));
    let child = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -4).undo()]).must();
        t.semop(other, &[op(0, -4).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.semrm(set).must();
    t.kill(child);
    t.getval(set, 0).fails(EINVAL);
    t.holds(other, &[9]);
}

fn undo_does_not_reach_a_set_of_the_same_key(t: &Stage) {
    let old = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    let child = holder(t, "holder", old, &[op(0, 4).undo()]);
    t.semrm(old).must();
    let new = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    t.setval(new, 0, 9).must();
    t.kill(child);
    t.holds(new, &[9]);
}

fn undo_on_a_new_set_after_the_old_was_removed(t: &Stage) {
    let old = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    does(t, |t| {
        t.semop(old, &[op(0, 4).undo()]).must();
        t.semrm(old).must();
        let new = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
        t.semop(new, &[op(0, 7)]).must();
        t.semop(new, &[op(0, -2).undo()]).must();
    });
    let new = t.semget(0x77, 1, 0).must();
    t.holds(new, &[7]);
}

fn two_holders_undo_their_own(t: &Stage) {
    let set = t.set_of(&[10]);
    let one = holder(t, "one", set, &[op(0, -3).undo()]);
    let two = holder(t, "two", set, &[op(0, -4).undo()]);
    t.holds(set, &[3]);
    t.kill(one);
    t.holds(set, &[6]);
    t.kill(two);
    t.holds(set, &[10]);
}

fn undo_of_a_live_process_is_not_applied(t: &Stage) {
    let set = t.set_of(&[2]);
    let child = holder(t, "holder", set, &[op(0, -2).undo()]);
    t.stop(&child);
    t.semop(set, &[op(0, -1).nowait()]).fails(EAGAIN);
    t.signal(&child, SIGKILL);
    t.reap(child, Ending::Killed(SIGKILL));
    t.holds(set, &[2]);
}

fn killed_holder_of_a_mutex_gives_it_to_the_next(t: &Stage) {
    let set = t.set_of(&[1]);
    let lock = [op(0, -1).undo()];
    let mut owner = holder(t, "first", set, &lock);
    for name in ["second", "third", "fourth"] {
        let next = t.spawn(name, |t| {
            t.semop(set, &lock).must();
            t.tell(1);
            Gate::new().pass();
        });
        t.wait_blocked(&next);
        t.kill(owner);
        t.hear(&next, 1);
        owner = next;
    }
    t.kill(owner);
    t.holds(set, &[1]);
}

fn end_of_a_process_stamps_a_set_that_it_only_failed_on(t: &Stage) {
    let set = t.set_of(&[5, 0]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).nowait().undo()])
            .fails(EAGAIN);
        assert_eq!(t.semstat(set).must().otime, 0);
    });
    // There was nothing to undo, but a list to look through: that counts as an operation.
    assert_ne!(t.semstat(set).must().otime, 0);
    t.holds(set, &[5, 0]);
    assert_eq!(t.getpid(set, 0).must(), own_pid());
}

fn undo_is_seen_as_soon_as_the_dead_is_reaped(t: &Stage) {
    let set = t.set_of(&[1]);
    for _ in 0..50 {
        let child = t.spawn("child", |_| {
            let taken = crate::semcall::semop(set.0, &[op(0, -1).undo()]);
            assert_eq!(taken, Ok(()));
        });
        t.join(child);
        assert_eq!(crate::semcall::semctl(set.0, 0, libc::GETVAL, 0), Ok(1));
    }
}
