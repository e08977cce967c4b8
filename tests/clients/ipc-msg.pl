# IPC::SysV and IPC::Msg (core Perl) on message queues; prints nothing that differs from run to run.
use strict;
use warnings;
use Errno;
use IPC::Msg;
use IPC::SysV qw(IPC_CREAT IPC_EXCL IPC_NOWAIT IPC_PRIVATE IPC_RMID IPC_STAT MSG_NOERROR S_IRUSR S_IWUSR ftok);

$| = 1;
use constant MSG_EXCEPT => 020000;    # IPC::SysV knows it on some systems only

# The name of the errno that a failed call left.
sub errno_name {
    for my $name (qw(E2BIG EACCES EAGAIN EEXIST EIDRM EINTR EINVAL ENOENT ENOMSG EPERM)) {
        return $name if $!{$name};
    }
    return "$!";
}

sub outcome {
    my ($what, $result) = @_;
    print "$what: ", $result ? "ok" : errno_name(), "\n";
    return $result;
}

sub receive {
    my ($queue, $size, $type, $flags) = @_;
    my $text;
    my $got = $queue->rcv($text, $size, $type, $flags);
    printf "rcv type %d: %s\n", $type, defined $got ? "type $got, '$text'" : errno_name();
}

# Waits until a process sleeps (as /proc has it), at most ten seconds.
sub wait_until_asleep {
    my ($pid) = @_;
    for (1 .. 200) {
        select undef, undef, undef, 0.05;
        open my $stat, '<', "/proc/$pid/stat" or return;
        return if <$stat> =~ /\) S /;
    }
}

my $key = ftok($0, 7) // die "ftok: $!";
outcome("open before it exists", IPC::Msg->new($key, 0));
my $queue = outcome("new", IPC::Msg->new($key, IPC_CREAT | IPC_EXCL | S_IRUSR | S_IWUSR)) or exit 1;
outcome("new, exclusively", IPC::Msg->new($key, IPC_CREAT | IPC_EXCL | 0600));
print "opened again: ", IPC::Msg->new($key, 0)->id == $queue->id ? "the same id" : "ANOTHER id", "\n";

receive($queue, 64, 0, IPC_NOWAIT);
outcome("snd type $_", $queue->snd($_, "text $_")) for 5, 3, 9, 3, 1;
outcome("snd type 0", $queue->snd(0, "refused"));
outcome("snd type -1", $queue->snd(-1, "refused"));
outcome("snd, empty", $queue->snd(7, ""));

my $stat = $queue->stat;
printf "stat: mode %04o, qnum %d, qbytes %d, %s\n", $stat->mode & 0777, $stat->qnum, $stat->qbytes,
    $stat->lspid == $$ && $stat->lrpid == 0 ? "last pids right" : "last pids WRONG";
printf "stat: %s, times %s\n", $stat->uid == $> && $stat->cuid == $> ? "owner right" : "owner WRONG",
    abs($stat->stime - time) < 60 && $stat->rtime == 0 && abs($stat->ctime - time) < 60 ? "right" : "WRONG";

receive($queue, 64, -4, 0);
receive($queue, 64, -4, 0);
receive($queue, 64, 3, 0);
receive($queue, 64, -2, IPC_NOWAIT);
receive($queue, 64, 5, MSG_EXCEPT);
receive($queue, 2, 0, IPC_NOWAIT);
receive($queue, 2, 0, MSG_NOERROR);
receive($queue, 64, 0, 0);
receive($queue, 64, 0, IPC_NOWAIT);

outcome("set mode and qbytes", $queue->set(mode => 0644, qbytes => 100));
$stat = $queue->stat;
printf "stat: mode %04o, qbytes %d\n", $stat->mode & 0777, $stat->qbytes;
outcome("snd 100 bytes", $queue->snd(1, "x" x 100, IPC_NOWAIT));
outcome("snd one more", $queue->snd(1, "y", IPC_NOWAIT));
outcome("snd 8193 bytes", $queue->snd(1, "z" x 8193, IPC_NOWAIT));
receive($queue, 200, 0, 0);

# A blocked receive ends when a signal's handler ran.
{
    local $SIG{ALRM} = sub { print "alarm\n" };
    alarm 1;
    receive($queue, 64, 0, 0);
}

# A child answers what its parent asks, then meets the removal asleep.
my $replies = IPC::Msg->new(IPC_PRIVATE, 0600) or die "private queue: $!";
my $child = fork // die "fork: $!";
if (!$child) {
    for (1 .. 100) {
        $queue->rcv(my $question, 64, 1, 0) or die "child: $!";
        $replies->snd(1, "re: $question") or die "child: $!";
    }
    $replies->snd(2, "done");
    receive($queue, 64, 0, 0);
    exit 0;
}
my $right = 0;
for my $number (1 .. 100) {
    $queue->snd(1, "question $number") or die "parent: $!";
    $replies->rcv(my $answer, 64, 1, 0) or die "parent: $!";
    $right++ if $answer eq "re: question $number";
}
print "answers from a child: $right\n";
receive($replies, 64, 2, 0);
my $id = $queue->id;    # which remove() forgets
wait_until_asleep($child);
my $removed = $queue->remove;
waitpid $child, 0;
outcome("remove", $removed);
print "the child's exit status: $?\n";

outcome("remove once more", msgctl($id, IPC_RMID, 0));
outcome("snd to the removed queue", msgsnd($id, pack("l! a*", 1, "late"), 0));
outcome("IPC_STAT of the removed queue", msgctl($id, IPC_STAT, my $buffer = ""));
outcome("remove the replies", msgctl($replies->id, IPC_RMID, 0));
