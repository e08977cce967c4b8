//! `IPC_RMID`: what goes with a queue, and who may do it.

use crate::memory::Area;
use crate::process::{become_user, set_effective_uid};
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EIDRM, EINVAL, EPERM, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID};

pub(super) const ALL: &[Scenario] = table![
    removed_queue_is_gone,
    removal_takes_the_messages_with_it,
    removal_needs_no_argument,
    second_removal_is_einval,
    removal_leaves_other_queues_alone,
    removal_is_seen_by_other_processes,
    removal_is_seen_by_the_other_usage,
    owner_may_remove needs_root,
    others_may_not_remove needs_root,
    refused_removal_changes_nothing needs_root,
    root_may_remove_anything needs_root,
    owner_without_any_bit_may_remove needs_root,
    removal_wakes_sender_and_receiver_of_one_queue,
    woken_by_removal_the_next_call_is_einval,
    removers_race_and_one_wins,
    removal_frees_the_key_for_a_queue_with_another_mode,
];

fn removed_queue_is_gone(t: &Stage) {
    let queue = t.private();
    t.remove(queue).must();
    t.stat(queue).fails(EINVAL);
    t.stat_any_at(queue.index()).fails(EINVAL);
}

fn removal_takes_the_messages_with_it(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    t.put(queue, 2, "y");
    t.remove(queue).must();
    t.recv(queue, 10, 0, IPC_NOWAIT).fails(EINVAL);
    assert_eq!(t.usage().must().1.msgmap, 0);
}

fn removal_needs_no_argument(t: &Stage) {
    for area in [Area::null(), Area::unmapped(), Area::kernel_half()] {
        let queue = t.private();
        assert_eq!(t.ctl(queue.0, IPC_RMID, &area).must(), 0);
    }
}

fn second_removal_is_einval(t: &Stage) {
    let queue = t.private();
    t.remove(queue).must();
    t.remove(queue).fails(EINVAL);
}

fn removal_leaves_other_queues_alone(t: &Stage) {
    let queues = [t.private(), t.private(), t.private()];
    for queue in queues {
        t.put(queue, 1, "x");
    }
    t.remove(queues[1]).must();
    assert_eq!(t.take(queues[0], 0), "x");
    assert_eq!(t.take(queues[2], 0), "x");
}

fn removal_is_seen_by_other_processes(t: &Stage) {
    let queue = t.get(0x77, IPC_CREAT | 0o600).must();
    let gate = crate::players::Gate::new();
    let child = t.spawn("other", |t| {
        t.put(queue, 1, "x");
        t.tell(1);
        gate.pass();
        t.send(queue, 1, "x", IPC_NOWAIT).fails(EINVAL);
        t.recv(queue, 10, 0, IPC_NOWAIT).fails(EINVAL);
        t.get(0x77, 0).fails(libc::ENOENT);
    });
    t.hear(&child, 1);
    t.remove(queue).must();
    gate.open();
    t.join(child);
}

fn removal_is_seen_by_the_other_usage(t: &Stage) {
    let queues = [t.private(), t.private()];
    t.put(queues[0], 1, "12345");
    t.put(queues[1], 1, "123");
    t.remove(queues[0]).must();
    let (highest, usage) = t.usage().must();
    assert_eq!(
        (highest, usage.msgpool, usage.msgmap, usage.msgtql),
        (1, 1, 1, 3)
    );
}

fn owner_may_remove(t: &Stage) {
    become_user(1000, 1000, &[]);
    let queue = t.get(IPC_PRIVATE, 0o600).must();
    t.remove(queue).must();
}

fn others_may_not_remove(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o666).must();
    become_user(1000, 1000, &[]);
    t.remove(queue).fails(EPERM);
}

fn refused_removal_changes_nothing(t: &Stage) {
    let queue = t.get(0x77, IPC_CREAT | 0o666).must();
    t.put(queue, 1, "x");
    let before = t.stat(queue).must();
    become_user(1000, 1000, &[]);
    t.remove(queue).fails(EPERM);
    assert_eq!(t.stat(queue).must(), before);
    assert_eq!(t.get(0x77, 0).must(), queue);
}

fn root_may_remove_anything(t: &Stage) {
    set_effective_uid(1000);
    let queue = t.get(IPC_PRIVATE, 0).must();
    set_effective_uid(0);
    t.remove(queue).must();
}

fn owner_without_any_bit_may_remove(t: &Stage) {
    become_user(1000, 1000, &[]);
    let queue = t.get(IPC_PRIVATE, 0).must();
    t.stat(queue).fails(libc::EACCES);
    t.remove(queue).must();
}

fn removal_wakes_sender_and_receiver_of_one_queue(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.put(queue, 1, "full");
    let sender = t.spawn("sender", |t| t.send(queue, 1, "next", 0).fails(EIDRM));
    let receiver = t.spawn("receiver", |t| t.recv(queue, 10, 7, 0).fails(EIDRM));
    t.wait_blocked(&sender);
    t.wait_blocked(&receiver);
    t.remove(queue).must();
    t.join(sender);
    t.join(receiver);
}

fn woken_by_removal_the_next_call_is_einval(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv(queue, 10, 0, 0).fails(EIDRM);
        t.recv(queue, 10, 0, 0).fails(EINVAL);
    });
    t.wait_blocked(&child);
    t.remove(queue).must();
    t.join(child);
}

fn removers_race_and_one_wins(t: &Stage) {
    for _ in 0..10 {
        let queue = t.private();
        let gate = crate::players::Gate::new();
        let removers = [0; 4].map(|_| {
            t.spawn("remover", |t| {
                gate.pass();
                let removed = crate::call::msgctl(queue.0, IPC_RMID, &mut crate::call::blank_ds());
                t.tell(removed.is_ok().into());
            })
        });
        gate.open();
        let winners: i64 = removers.iter().map(|remover| t.hear(remover, 1)).sum();
        removers.into_iter().for_each(|remover| t.join(remover));
        assert_eq!(winners, 1);
    }
}

fn removal_frees_the_key_for_a_queue_with_another_mode(t: &Stage) {
    let old = t.get(0x77, IPC_CREAT | 0o400).must();
    t.remove(old).must();
    let new = t.get(0x77, IPC_CREAT | 0o622).must();
    let stat = t.stat(new).must();
    assert_eq!((stat.mode, stat.key, stat.qnum), (0o622, 0x77, 0));
}
