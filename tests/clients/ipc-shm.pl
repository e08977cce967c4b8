# IPC::SharedMem, shmread and shmwrite (core Perl); prints nothing that differs from run to run.
use strict;
use warnings;
use Errno;
use IPC::SharedMem;
use IPC::SysV qw(IPC_CREAT IPC_EXCL IPC_PRIVATE IPC_RMID SHM_RDONLY);

$| = 1;

sub outcome {
    my ($what, $result) = @_;
    my ($name) = grep { $!{$_} } qw(EACCES EEXIST EIDRM EINVAL ENOENT ENOMEM);
    print "$what: ", $result ? "ok" : $name // "$!", "\n";
    return $result;
}

my $key = 0x5b3a;
outcome("open before it exists", IPC::SharedMem->new($key, 0, 0));
my $memory = outcome("new", IPC::SharedMem->new($key, 10000, IPC_CREAT | IPC_EXCL | 0640)) or exit 1;
outcome("new, exclusively", IPC::SharedMem->new($key, 10000, IPC_CREAT | IPC_EXCL | 0600));
outcome("open, too large", IPC::SharedMem->new($key, 10001, 0));
outcome("open, smaller", IPC::SharedMem->new($key, 1, 0));

sub attached { printf "stat: nattch %d\n", $memory->stat->nattch }

attached();
outcome("attach", $memory->attach);
attached();
print "new memory is zero: ", $memory->read(0, 10000) eq "\0" x 10000 ? "yes" : "NO", "\n";
outcome("write", $memory->write("hello", 9990, 5));
print "read: ", $memory->read(9990, 5), "\n";
my $stat = $memory->stat;
printf "stat: mode %04o, %d bytes, cpid %s, lpid %s, times %s\n", $stat->mode & 0777, $stat->segsz,
    $stat->cpid == $$ ? "right" : "WRONG", $stat->lpid == $$ ? "right" : "WRONG",
    abs($stat->atime - time) < 60 && $stat->dtime == 0 && abs($stat->ctime - time) < 60 ? "right" : "WRONG";

# A child inherits the attachment; what it writes is seen, and its death detaches it.
my ($go, $done);
pipe my $in, $go or die;
my $child = fork // die "fork: $!";
if (!$child) {
    close $go;
    $memory->write("child", 0, 5);
    <$in>;
    kill KILL => $$;
}
close $in;
for (1 .. 1000) {
    last if $memory->read(0, 5) eq "child";
    select undef, undef, undef, 0.01;
}
print "the child wrote: ", $memory->read(0, 5), "\n";
attached();
close $go;
waitpid $child, 0;
print "the child's signal: $?\n";
attached();

my $id = $memory->id;
outcome("shmwrite", shmwrite($id, "from outside", 100, 12));
outcome("shmread", shmread($id, my $text, 100, 12));
print "shmread: $text; read: ", $memory->read(100, 12), "\n";
outcome("shmread past the end", shmread($id, $text, 9999, 2));

outcome("remove while attached", $memory->remove);
outcome("open after", IPC::SharedMem->new($key, 0, 0));
print "still readable: ", $memory->read(9990, 5), "\n";
outcome("detach", $memory->detach);
outcome("shmread after the last detach", shmread($id, $text, 0, 1));
my $private = IPC::SharedMem->new(IPC_PRIVATE, 1, 0600) or die "private: $!";
outcome("attach read-only", $private->attach(SHM_RDONLY));
print "one byte: ", unpack("H2", $private->read(0, 1)), "\n";
outcome("detach", $private->detach);
outcome("remove", $private->remove);
