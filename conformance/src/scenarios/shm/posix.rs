//! `shm_open` and `shm_unlink`: names, flags, modes.
//!
//! Names are the player's own, as `/dev/shm` is the whole system's: each scenario unlinks what it
//! made.

use crate::mapping::{Access, PAGE, access, is_zero, text, write_text};
use crate::posixshm::{long_name, own_name};
use crate::process::{become_user, set_umask};
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{
    EACCES, EEXIST, EINVAL, ENAMETOOLONG, ENOENT, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC,
    PROT_READ, PROT_WRITE,
};

pub(super) const ALL: &[Scenario] = table![
    posix_name_that_is_unknown_is_enoent,
    posix_memory_is_made_empty_and_found_again,
    posix_memory_made_exclusively_must_be_new,
    posix_memory_is_shared_by_name,
    posix_memory_is_zeroed_when_it_grows,
    posix_memory_is_emptied_by_o_trunc,
    posix_memory_opened_to_read_cannot_be_written,
    posix_memory_cannot_be_opened_to_write_alone,
    posix_name_may_lack_its_slash,
    posix_name_may_have_many_slashes,
    posix_name_with_a_slash_within_is_einval,
    posix_name_that_is_empty_is_einval,
    posix_name_of_dots_is_einval,
    posix_name_that_is_too_long_is_enametoolong,
    posix_name_as_long_as_may_be,
    posix_descriptor_is_closed_by_exec,
    posix_mode_is_cut_by_the_umask,
    posix_mode_is_obeyed needs_root,
    posix_memory_is_unlinked_by_its_owner_only needs_root,
    posix_unlink_of_an_unknown_name_is_enoent,
    posix_unlink_leaves_open_descriptors_and_mappings,
    posix_unlink_makes_room_for_another,
    posix_memory_outlives_its_maker,
];

const MADE: i32 = O_RDWR | O_CREAT;

fn posix_name_that_is_unknown_is_enoent(t: &Stage) {
    t.shm_open(&own_name("unknown"), O_RDWR, 0o600)
        .fails(ENOENT);
    t.shm_open(&own_name("unknown"), O_RDONLY, 0).fails(ENOENT);
}

fn posix_memory_is_made_empty_and_found_again(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    assert_eq!(t.fstat(fd).must(), (0, 0o600));
    t.ftruncate(fd, 5000).must();
    let again = t.shm_open(&name, MADE, 0o666).must();
    assert_eq!(t.fstat(again).must(), (5000, 0o600));
    t.shm_unlink(&name).must();
}

fn posix_memory_made_exclusively_must_be_new(t: &Stage) {
    let name = own_name("a");
    t.shm_open(&name, MADE | O_EXCL, 0o600).must();
    t.shm_open(&name, MADE | O_EXCL, 0o600).fails(EEXIST);
    t.shm_open(&name, O_RDWR, 0).must();
    t.shm_unlink(&name).must();
}

fn posix_memory_is_shared_by_name(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    t.ftruncate(fd, PAGE as i64).must();
    let at = t.map_shared(fd, PAGE, PROT_READ | PROT_WRITE).must();
    t.close_descriptor(fd);
    write_text(at, "from the parent");
    let child = t.spawn("child", |t| {
        let fd = t.shm_open(&name, O_RDWR, 0).must();
        let own = t.map_shared(fd, PAGE, PROT_READ | PROT_WRITE).must();
        assert_eq!(text(own, 15), "from the parent");
        write_text(own, "from the child ");
    });
    t.join(child);
    assert_eq!(text(at, 15), "from the child ");
    t.shm_unlink(&name).must();
}

fn posix_memory_is_zeroed_when_it_grows(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    t.ftruncate(fd, 3 * PAGE as i64).must();
    let at = t.map_shared(fd, 3 * PAGE, PROT_READ).must();
    assert!(is_zero(at, 3 * PAGE));
    assert_eq!(access(at), Access::Read);
    t.shm_unlink(&name).must();
}

fn posix_memory_is_emptied_by_o_trunc(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    t.ftruncate(fd, 5000).must();
    let again = t.shm_open(&name, O_RDWR | O_TRUNC, 0).must();
    assert_eq!(t.fstat(again).must().0, 0);
    t.shm_unlink(&name).must();
}

fn posix_memory_opened_to_read_cannot_be_written(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    t.ftruncate(fd, PAGE as i64).must();
    let reader = t.shm_open(&name, O_RDONLY, 0).must();
    t.map_shared(reader, PAGE, PROT_READ | PROT_WRITE)
        .fails(EACCES);
    t.map_shared(reader, PAGE, PROT_READ).must();
    t.ftruncate(reader, 1).fails(EINVAL);
    t.shm_unlink(&name).must();
}

fn posix_memory_cannot_be_opened_to_write_alone(t: &Stage) {
    let name = own_name("a");
    t.shm_open(&name, MADE, 0o600).must();
    let fd = t.shm_open(&name, libc::O_WRONLY, 0).must();
    // It can, but such a descriptor cannot be mapped.
    t.ftruncate(fd, PAGE as i64).must();
    t.map_shared(fd, PAGE, PROT_WRITE).fails(EACCES);
    t.shm_unlink(&name).must();
}

fn posix_name_may_lack_its_slash(t: &Stage) {
    let name = own_name("a");
    t.shm_open(&name[1..], MADE, 0o600).must();
    t.shm_open(&name, O_RDWR, 0).must();
    t.shm_unlink(&name[1..]).must();
    t.shm_open(&name, O_RDWR, 0).fails(ENOENT);
}

fn posix_name_may_have_many_slashes(t: &Stage) {
    let name = own_name("a");
    let many = format!("//{name}");
    t.shm_open(&many, MADE, 0o600).must();
    t.shm_open(&name, O_RDWR, 0).must();
    t.shm_unlink(&many).must();
}

fn posix_name_with_a_slash_within_is_einval(t: &Stage) {
    let name = format!("{}/b", own_name("a"));
    t.shm_open(&name, MADE, 0o600).fails(EINVAL);
    t.shm_unlink(&name).fails(ENOENT);
    t.shm_open(&format!("{}/", own_name("a")), MADE, 0o600)
        .fails(EINVAL);
}

fn posix_name_that_is_empty_is_einval(t: &Stage) {
    for name in ["", "/", "//"] {
        t.shm_open(name, MADE, 0o600).fails(EINVAL);
        t.shm_unlink(name).fails(ENOENT);
    }
}

fn posix_name_of_dots_is_einval(t: &Stage) {
    for name in ["/.", "/..", ".", ".."] {
        t.shm_open(name, MADE, 0o600).fails(EINVAL);
    }
}

fn posix_name_that_is_too_long_is_enametoolong(t: &Stage) {
    for len in [256, 257] {
        let name = long_name(len);
        t.shm_open(&name, MADE, 0o600).fails(ENAMETOOLONG);
        t.shm_unlink(&name).fails(ENAMETOOLONG);
    }
    // Much too long is another error: the library looks at the length itself.
    for len in [299, 5000] {
        let name = long_name(len);
        t.shm_open(&name, MADE, 0o600).fails(EINVAL);
        t.shm_unlink(&name).fails(ENOENT);
    }
}

fn posix_name_as_long_as_may_be(t: &Stage) {
    for len in [200, 254, 255] {
        let name = long_name(len);
        t.shm_open(&name, MADE, 0o600).must();
        t.shm_unlink(&name).must();
    }
}

fn posix_descriptor_is_closed_by_exec(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    assert!(t.closes_on_exec(fd));
    t.shm_unlink(&name).must();
}

fn posix_mode_is_cut_by_the_umask(t: &Stage) {
    let name = own_name("a");
    set_umask(0o027);
    let fd = t.shm_open(&name, MADE, 0o666).must();
    assert_eq!(t.fstat(fd).must().1, 0o640);
    t.shm_unlink(&name).must();
}

fn posix_mode_is_obeyed(t: &Stage) {
    let (closed, open) = (own_name("closed"), own_name("open"));
    set_umask(0);
    t.shm_open(&closed, MADE, 0o600).must();
    t.shm_open(&open, MADE, 0o644).must();
    let child = t.spawn("user", |t| {
        become_user(1000, 1000, &[]);
        t.shm_open(&closed, O_RDONLY, 0).fails(EACCES);
        t.shm_open(&open, O_RDONLY, 0).must();
        t.shm_open(&open, O_RDWR, 0).fails(EACCES);
    });
    t.join(child);
    t.shm_unlink(&closed).must();
    t.shm_unlink(&open).must();
}

fn posix_memory_is_unlinked_by_its_owner_only(t: &Stage) {
    let name = own_name("a");
    t.shm_open(&name, MADE, 0o666).must();
    let child = t.spawn("user", |t| {
        become_user(1000, 1000, &[]);
        t.shm_unlink(&name).fails(EACCES);
    });
    t.join(child);
    t.shm_unlink(&name).must();
}

fn posix_unlink_of_an_unknown_name_is_enoent(t: &Stage) {
    t.shm_unlink(&own_name("unknown")).fails(ENOENT);
}

fn posix_unlink_leaves_open_descriptors_and_mappings(t: &Stage) {
    let name = own_name("a");
    let fd = t.shm_open(&name, MADE, 0o600).must();
    t.ftruncate(fd, PAGE as i64).must();
    let at = t.map_shared(fd, PAGE, PROT_READ | PROT_WRITE).must();
    t.shm_unlink(&name).must();
    write_text(at, "there");
    let again = t.map_shared(fd, PAGE, PROT_READ).must();
    assert_eq!(text(again, 5), "there");
    t.shm_open(&name, O_RDWR, 0).fails(ENOENT);
}

fn posix_unlink_makes_room_for_another(t: &Stage) {
    let name = own_name("a");
    for _ in 0..3 {
        let fd = t.shm_open(&name, MADE | O_EXCL, 0o600).must();
        assert_eq!(t.fstat(fd).must().0, 0);
        t.ftruncate(fd, 77).must();
        t.shm_unlink(&name).must();
    }
}

fn posix_memory_outlives_its_maker(t: &Stage) {
    let name = own_name("a");
    let child = t.spawn("maker", |t| {
        let fd = t.shm_open(&name, MADE, 0o600).must();
        t.ftruncate(fd, PAGE as i64).must();
        let at = t.map_shared(fd, PAGE, PROT_READ | PROT_WRITE).must();
        write_text(at, "left behind");
    });
    t.join(child);
    let fd = t.shm_open(&name, O_RDONLY, 0).must();
    let at = t.map_shared(fd, PAGE, PROT_READ).must();
    assert_eq!(text(at, 11), "left behind");
    t.shm_unlink(&name).must();
}
