//! Root without its capabilities, as in containers, and others with some.

use super::permissions::{may, owned};
use crate::capabilities::{
    CAP_IPC_OWNER, CAP_SYS_ADMIN, drop_capability, keep_capabilities, raise_capability,
};
use crate::process::become_user;
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EPERM, IPC_CREAT};

pub(super) const ALL: &[Scenario] = table![
    root_without_cap_ipc_owner_needs_bits needs_root,
    root_without_cap_ipc_owner_needs_bits_to_get needs_root,
    root_without_cap_ipc_owner_may_still_remove needs_root,
    root_without_cap_sys_admin_may_not_set_or_remove needs_root,
    root_without_cap_sys_admin_may_set_and_remove_its_own needs_root,
    user_with_cap_ipc_owner_needs_no_bits needs_root,
    user_with_cap_sys_admin_may_set_and_remove needs_root,
    capability_dropped_and_raised_again needs_root,
];

/// A queue that Ann made, and gave this mode.
fn anns(t: &Stage, key: i32, mode: i32) -> crate::msg::Queue {
    let child = t.spawn("ann", |t| {
        become_user(ANN, STAFF, &[]);
        let queue = t.get(key, IPC_CREAT | mode).must();
        t.tell(queue.0.into());
    });
    let id = t.hear(&child, 1);
    t.join(child);
    let queue = crate::msg::Queue(id as i32);
    (0..5).for_each(|_| t.put(queue, 1, "there"));
    queue
}

fn root_without_cap_ipc_owner_needs_bits(t: &Stage) {
    let closed = anns(t, 1, 0o660);
    let open = anns(t, 2, 0o604);
    drop_capability(CAP_IPC_OWNER);
    may(t, closed, false, false);
    may(t, open, true, false);
    t.stat_any_at(closed.index()).must();
}

fn root_without_cap_ipc_owner_needs_bits_to_get(t: &Stage) {
    let queue = anns(t, 1, 0o600);
    drop_capability(CAP_IPC_OWNER);
    assert_eq!(t.get(1, 0).must(), queue);
    t.get(1, 0o600).fails(EACCES);
    t.get(1, IPC_CREAT | 0o400).fails(EACCES);
}

fn root_without_cap_ipc_owner_may_still_remove(t: &Stage) {
    let queue = anns(t, 1, 0o600);
    drop_capability(CAP_IPC_OWNER);
    t.remove(queue).must();
}

fn root_without_cap_sys_admin_may_not_set_or_remove(t: &Stage) {
    let queue = anns(t, 1, 0o600);
    drop_capability(CAP_SYS_ADMIN);
    t.change(queue, |stat| stat.mode = 0o666).fails(EPERM);
    t.remove(queue).fails(EPERM);
    may(t, queue, true, true);
}

fn root_without_cap_sys_admin_may_set_and_remove_its_own(t: &Stage) {
    let queue = owned(t, BOB, STAFF, 0o600);
    drop_capability(CAP_SYS_ADMIN);
    t.change(queue, |stat| stat.mode = 0o666).must();
    t.remove(queue).must();
}

fn user_with_cap_ipc_owner_needs_no_bits(t: &Stage) {
    let queue = anns(t, 1, 0o600);
    keep_capabilities();
    become_user(BOB, BOB, &[]);
    may(t, queue, false, false);
    raise_capability(CAP_IPC_OWNER);
    may(t, queue, true, true);
    assert_eq!(t.get(1, 0o600).must(), queue);
    t.remove(queue).fails(EPERM);
}

fn user_with_cap_sys_admin_may_set_and_remove(t: &Stage) {
    let queue = anns(t, 1, 0o644);
    keep_capabilities();
    become_user(BOB, BOB, &[]);
    raise_capability(CAP_SYS_ADMIN);
    t.change(queue, |stat| stat.uid = BOB).must();
    may(t, queue, true, true);
    t.change(queue, |stat| stat.uid = ANN).must();
    may(t, queue, true, false);
    t.remove(queue).must();
}

fn capability_dropped_and_raised_again(t: &Stage) {
    let queue = anns(t, 1, 0o600);
    for _ in 0..2 {
        drop_capability(CAP_IPC_OWNER);
        may(t, queue, false, false);
        raise_capability(CAP_IPC_OWNER);
        may(t, queue, true, true);
    }
}
