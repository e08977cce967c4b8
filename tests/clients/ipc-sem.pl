# IPC::Semaphore (core Perl); prints nothing that differs from run to run.
use strict;
use warnings;
use Errno;
use IPC::Semaphore;
use IPC::SysV qw(IPC_CREAT IPC_EXCL IPC_NOWAIT IPC_PRIVATE SEM_UNDO);

$| = 1;

sub outcome {
    my ($what, $result) = @_;
    my ($name) = grep { $!{$_} } qw(E2BIG EACCES EAGAIN EEXIST EFBIG EIDRM EINTR EINVAL ENOENT ERANGE);
    print "$what: ", $result ? "ok" : $name // "$!", "\n";
    return $result;
}

# Waits until somebody waits for the semaphore, at most ten seconds.
sub wait_for_waiter {
    my ($set, $number) = @_;
    for (1 .. 1000) {
        return if $set->getncnt($number) > 0 || $set->getzcnt($number) > 0;
        select undef, undef, undef, 0.01;
    }
    print "nobody waits\n";
}

sub values_of { print "values: ", join(' ', $_[0]->getall), "\n" }

my $key = 0x5e3a;
outcome("open before it exists", IPC::Semaphore->new($key, 0, 0));
my $set = outcome("new", IPC::Semaphore->new($key, 4, IPC_CREAT | IPC_EXCL | 0640)) or exit 1;
outcome("new, exclusively", IPC::Semaphore->new($key, 4, IPC_CREAT | IPC_EXCL | 0600));
outcome("open, too large", IPC::Semaphore->new($key, 5, 0));
print "opened again: ", IPC::Semaphore->new($key, 0, 0)->id == $set->id ? "the same id" : "ANOTHER id", "\n";
values_of($set);
outcome("setall", $set->setall(3, 0, 7, 32767));
outcome("setval", $set->setval(1, 5));
outcome("setval 32768", $set->setval(1, 32768));
outcome("setval of the fifth", $set->setval(4, 1));
values_of($set);

outcome("op: an array", $set->op(0, -1, 0, 1, 2, 0, 2, -7, 0));
outcome("op: one of the array must wait", $set->op(0, -1, IPC_NOWAIT, 2, -1, IPC_NOWAIT));
outcome("op: too large a value", $set->op(3, 1, 0));
outcome("op: no such semaphore", $set->op(4, 1, 0));
outcome("op: wait for zero", $set->op(2, 0, IPC_NOWAIT));
outcome("op: wait for zero of 2", $set->op(0, 0, IPC_NOWAIT));
values_of($set);
my $stat = $set->stat;
printf "stat: mode %04o, nsems %d, owner %s, times %s, last pid %s\n", $stat->mode & 0777, $stat->nsems,
    $stat->uid == $> && $stat->cuid == $> ? "right" : "WRONG",
    abs($stat->otime - time) < 60 && abs($stat->ctime - time) < 60 ? "right" : "WRONG",
    $set->getpid(0) == $$ ? "right" : "WRONG";
$set->set(mode => 0600);
printf "stat: mode %04o\n", $set->stat->mode & 0777;

# A child sleeps in an operation until its parent has done both of what it waits for.
my $child = fork // die "fork: $!";
if (!$child) {
    exit($set->op(2, -2, 0, 0, -1, 0) ? 0 : 1);
}
wait_for_waiter($set, 2);
printf "waiting for more: %d, for zero: %d\n", $set->getncnt(2), $set->getzcnt(2);
outcome("parent: one", $set->op(2, 1, 0));
printf "still waiting: %d\n", $set->getncnt(2);
outcome("parent: the other", $set->op(2, 1, 0));
waitpid $child, 0;
print "the child took two at once, its status: $?\n";
values_of($set);

# What a killed process did with SEM_UNDO is undone; what it did without is not.
$child = fork // die "fork: $!";
if (!$child) {
    $set->op(0, 10, SEM_UNDO, 1, -2, SEM_UNDO, 2, 4, 0);
    kill KILL => $$;
}
waitpid $child, 0;
print "the child's signal: $?\n";
values_of($set);

{
    local $SIG{ALRM} = sub { print "alarm\n" };
    alarm 1;
    outcome("op: interrupted", $set->op(2, -100, 0));
}

$child = fork // die "fork: $!";
if (!$child) {
    outcome("child: asleep at the removal", $set->op(0, 0, 0));
    exit 0;
}
wait_for_waiter($set, 0);
my $removed = $set->remove;
waitpid $child, 0;
outcome("remove", $removed);
outcome("open after", IPC::Semaphore->new($key, 0, 0));
my $private = IPC::Semaphore->new(IPC_PRIVATE, 250, 0600) or die "private: $!";
print "a private set of ", $private->stat->nsems, ", sum ", eval { my $sum = 0; $sum += $_ for $private->getall; $sum }, "\n";
outcome("remove", $private->remove);
