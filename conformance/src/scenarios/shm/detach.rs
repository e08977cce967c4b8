//! `shmdt`: of what, by whom.

use crate::mapping::{Access, PAGE, access, anonymous, poke};
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::shm::ANYWHERE;
use crate::stage::Stage;
use libc::EINVAL;

pub(super) const ALL: &[Scenario] = table![
    detaching_null_is_einval,
    detaching_what_is_no_attachment_is_einval,
    detaching_twice_is_einval,
    detaching_the_middle_is_einval,
    detaching_an_odd_address_is_einval,
    detaching_takes_the_memory_away,
    detaching_the_whole_of_an_odd_size,
    detaching_in_another_thread_works,
    detaching_by_a_thread_of_what_a_thread_attached,
    detaching_in_a_child_leaves_the_parents,
    detaching_in_the_parent_leaves_the_childs,
    detaching_anothers_address_is_einval,
    detaching_one_of_two_leaves_the_other,
    detaching_needs_no_permission needs_root,
    detached_memory_can_be_mapped_by_others,
    detaching_a_neighbour_leaves_the_next,
];

fn detaching_null_is_einval(t: &Stage) {
    t.shmdt(ANYWHERE).fails(EINVAL);
    t.attach(t.segment(PAGE));
    t.shmdt(ANYWHERE).fails(EINVAL);
}

fn detaching_what_is_no_attachment_is_einval(t: &Stage) {
    let mine = anonymous(PAGE);
    t.shmdt(mine).fails(EINVAL);
    poke(mine, 1);
    t.shmdt(crate::mapping::hole(PAGE)).fails(EINVAL);
    t.shmdt(1 << 62).fails(EINVAL);
    t.shmdt(usize::MAX & !(PAGE - 1)).fails(EINVAL);
}

fn detaching_twice_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.detach(at);
    t.shmdt(at).fails(EINVAL);
    t.attached(segment, 0);
}

fn detaching_the_middle_is_einval(t: &Stage) {
    let segment = t.segment(4 * PAGE);
    let at = t.attach(segment);
    for page in 1..4 {
        t.shmdt(at + page * PAGE).fails(EINVAL);
    }
    t.attached(segment, 1);
    t.detach(at);
}

fn detaching_an_odd_address_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    for odd in [1, 8, PAGE - 1] {
        t.shmdt(at + odd).fails(EINVAL);
    }
    t.attached(segment, 1);
}

fn detaching_takes_the_memory_away(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let at = t.attach(segment);
    assert_eq!(access(at + PAGE), Access::Write);
    t.detach(at);
    assert_eq!(
        (access(at), access(at + PAGE)),
        (Access::None, Access::None)
    );
    let fault = t.faults(at, |_| poke(at + PAGE + 5, 1));
    assert_eq!(fault, (1, PAGE as i64 + 5), "SEGV_MAPERR");
}

fn detaching_the_whole_of_an_odd_size(t: &Stage) {
    let segment = t.segment(PAGE + 1);
    let at = t.attach(segment);
    poke(at + 2 * PAGE - 1, 1);
    t.detach(at);
    assert_eq!(access(at + PAGE), Access::None);
}

fn detaching_in_another_thread_works(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let thread = t.thread("thread", move |t| t.detach(at));
    t.join_thread(thread);
    t.attached(segment, 0);
    t.shmdt(at).fails(EINVAL);
}

fn detaching_by_a_thread_of_what_a_thread_attached(t: &Stage) {
    let segment = t.segment(PAGE);
    let thread = t.thread("attacher", move |t| {
        let at = t.attach(segment);
        t.tell(at as i64);
    });
    let at = t.hear(&thread, 1) as usize;
    t.join_thread(thread);
    // A thread's end is nobody's detach.
    t.everybody_sees(segment, 1);
    poke(at, 1);
    let thread = t.thread("detacher", move |t| t.detach(at));
    t.join_thread(thread);
    t.attached(segment, 0);
}

fn detaching_in_a_child_leaves_the_parents(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |t| {
        t.detach(at);
        t.shmdt(at).fails(EINVAL);
        t.attached(segment, 1);
    });
    t.join(child);
    t.attached(segment, 1);
    poke(at, 1);
    t.detach(at);
}

fn detaching_in_the_parent_leaves_the_childs(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let gate = crate::players::Gate::new();
    let child = t.spawn("child", |t| {
        gate.pass();
        poke(at, 1);
        t.attached(segment, 1);
        t.detach(at);
    });
    t.detach(at);
    t.attached(segment, 1);
    gate.open();
    t.join(child);
    t.attached(segment, 0);
}

fn detaching_anothers_address_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.run_part(&part("detach", &[&at, &EINVAL]));
    t.attached(segment, 1);
}

fn detaching_one_of_two_leaves_the_other(t: &Stage) {
    let segment = t.segment(PAGE);
    let (one, two) = (t.attach(segment), t.attach(segment));
    t.detach(two);
    assert_eq!((access(one), access(two)), (Access::Write, Access::None));
    t.attached(segment, 1);
}

fn detaching_needs_no_permission(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("user", |t| {
        crate::process::become_user(1000, 1000, &[]);
        t.shm_stat(segment).fails(libc::EACCES);
        t.detach(at);
    });
    let pid = child.pid;
    t.join(child);
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.nattch, stat.lpid), (1, pid));
}

fn detached_memory_can_be_mapped_by_others(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.detach(at);
    t.map_over(at, PAGE).must();
    poke(at, 9);
    t.shmdt(at).fails(EINVAL);
    assert_eq!(crate::mapping::peek(at), 9, "another's memory stays");
}

fn detaching_a_neighbour_leaves_the_next(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = crate::mapping::hole(2 * PAGE);
    t.shmat(segment, free, 0).must();
    t.shmat(segment, free + PAGE, 0).must();
    t.detach(free);
    assert_eq!(access(free + PAGE), Access::Write);
    t.attached(segment, 1);
    t.detach(free + PAGE);
}
