<?php
// PHP's sysvshm extension; prints nothing that differs from run to run.
declare(strict_types=1);

function outcome(string $what, bool $ok): void
{
    echo $what, ': ', $ok ? 'ok' : 'no', "\n";
}

$key = ftok(__FILE__, 'm');
$memory = shm_attach($key, 4096, 0600);
outcome('attach', $memory !== false);
outcome('has 1', shm_has_var($memory, 1));
outcome('put a string', shm_put_var($memory, 1, 'text'));
outcome('put an array', shm_put_var($memory, 2, ['a' => [1, 2.5, null, true]]));
outcome('has 1', shm_has_var($memory, 1));
echo 'get: ', json_encode([shm_get_var($memory, 1), shm_get_var($memory, 2)]), "\n";
outcome('put too much', @shm_put_var($memory, 3, str_repeat('x', 5000)));
outcome('get what is not there', @shm_get_var($memory, 3));

// A child attaches by the key, as one of its own, and is killed while it is attached.
$pid = pcntl_fork();
if ($pid === 0) {
    $same = shm_attach($key);
    shm_put_var($same, 7, shm_get_var($same, 1) . ' from the child');
    posix_kill(getmypid(), SIGKILL);
}
pcntl_waitpid($pid, $status);
echo 'get: ', shm_get_var($memory, 7), "\n";

outcome('remove a variable', shm_remove_var($memory, 1));
outcome('has 1', shm_has_var($memory, 1));
$again = shm_attach($key);
echo 'attached twice: ', shm_get_var($again, 7), "\n";
outcome('detach', shm_detach($again));
outcome('remove', shm_remove($memory));
echo 'still there: ', shm_get_var($memory, 7), "\n";
$new = shm_attach($key, 1024, 0600);
outcome('a new one is empty', !shm_has_var($new, 7));
outcome('remove', shm_remove($new));
outcome('detach', shm_detach($new));
outcome('detach', shm_detach($memory));
