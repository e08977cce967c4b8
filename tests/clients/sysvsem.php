<?php
// PHP's sysvsem extension, three semaphores a set; prints nothing that differs from run to run.
declare(strict_types=1);

function outcome(string $what, bool $ok): void
{
    echo $what, ': ', $ok ? 'ok' : 'no', "\n";
}

// Runs it in a child, and says how that ended.
function in_child(callable $work): void
{
    $pid = pcntl_fork();
    if ($pid === 0) {
        $work();
        posix_kill(getmypid(), SIGKILL);
    }
    pcntl_waitpid($pid, $status);
    echo 'the child was killed: ', pcntl_wifsignaled($status) ? 'yes' : 'no', "\n";
}

$key = ftok(__FILE__, 's');
$two = sem_get($key, 2, 0600, false);
outcome('get', $two !== false);
outcome('acquire', sem_acquire($two));
outcome('acquire twice', sem_acquire($two));
outcome('acquire thrice, no wait', sem_acquire($two, true));
outcome('release', sem_release($two));
outcome('acquire again', sem_acquire($two, true));
outcome('release', sem_release($two));
outcome('release', sem_release($two));
outcome('release what is not held', @sem_release($two));

// max_acquire counts only for the first who gets the set: an existing one keeps its value.
in_child(function () use ($key): void {
    $same = sem_get($key, 7, 0600, false);
    $count = 0;
    while (sem_acquire($same, true)) {
        $count++;
    }
    echo "the child acquires: $count\n";
});
outcome('what the killed child held is free: one', sem_acquire($two, true));
outcome('what the killed child held is free: two', sem_acquire($two, true));
outcome('but not three', sem_acquire($two, true));

// One that waits proceeds when the holder is killed.
$mutex = sem_get($key + 1, 1, 0600, true);
[$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
$pid = pcntl_fork();
if ($pid === 0) {
    sem_acquire($mutex);
    fwrite($theirs, "held\n");
    sleep(60);
    exit(1);
}
echo 'the child: ', fgets($ours);
outcome('acquire, no wait', sem_acquire($mutex, true));
$killer = pcntl_fork();
if ($killer === 0) {
    usleep(200000);
    posix_kill($pid, SIGKILL);
    posix_kill(getmypid(), SIGKILL);
}
outcome('acquire when the holder was killed', sem_acquire($mutex));
pcntl_waitpid($pid, $status);
pcntl_waitpid($killer, $status);

// Many take turns: a read and a write of a file would be lost without the semaphore.
outcome('release', sem_release($mutex));
file_put_contents('count', '0');
$children = [];
for ($i = 0; $i < 4; $i++) {
    $pid = pcntl_fork();
    if ($pid === 0) {
        for ($n = 0; $n < 200; $n++) {
            sem_acquire($mutex);
            file_put_contents('count', (string) (1 + (int) file_get_contents('count')));
            sem_release($mutex);
        }
        posix_kill(getmypid(), SIGKILL);
    }
    $children[] = $pid;
}
foreach ($children as $pid) {
    pcntl_waitpid($pid, $status);
}
echo 'counted: ', file_get_contents('count'), "\n";
outcome('remove', sem_remove($two));
outcome('remove', sem_remove($mutex));
outcome('remove twice', @sem_remove($mutex));
outcome('acquire what is removed', @sem_acquire($mutex, true));
