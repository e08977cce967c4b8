<?php
// PHP's sysvmsg extension; prints nothing that differs from run to run.
declare(strict_types=1);

const ERRNO = [7 => 'E2BIG', 11 => 'EAGAIN', 13 => 'EACCES', 22 => 'EINVAL', 42 => 'ENOMSG', 43 => 'EIDRM'];

function outcome(string $what, bool $ok, int $errno = 0): void
{
    echo $what, ': ', $ok ? 'ok' : (ERRNO[$errno] ?? "failed ($errno)"), "\n";
}

function receive(SysvMessageQueue $queue, int $type, int $size, bool $unserialize, int $flags): void
{
    $text = null;
    $got = 0;
    $errno = 0;
    $ok = @msg_receive($queue, $type, $got, $size, $text, $unserialize, $flags, $errno);
    echo "receive type $type: ", $ok ? "type $got, " . json_encode($text) : (ERRNO[$errno] ?? "failed ($errno)"), "\n";
}

$key = ftok(__FILE__, 'p');
echo 'exists before: ', msg_queue_exists($key) ? 'yes' : 'no', "\n";
$queue = msg_get_queue($key, 0640);
echo 'exists now: ', msg_queue_exists($key) ? 'yes' : 'no', "\n";

$errno = 0;
outcome('send a string, raw', msg_send($queue, 4, 'plain', false, true, $errno), $errno);
outcome('send an array, serialized', msg_send($queue, 2, ['a' => 1, 'b' => [true, null]], true, true, $errno), $errno);
outcome('send a number, raw', msg_send($queue, 9, 42, false, false, $errno), $errno);
outcome('send 8193 bytes', @msg_send($queue, 1, str_repeat('x', 8193), false, false, $errno), $errno);
outcome('send type 0', @msg_send($queue, 0, 'refused', false, false, $errno), $errno);

$stat = msg_stat_queue($queue);
printf("stat: mode %o, qnum %d, qbytes %d\n", $stat['msg_perm.mode'], $stat['msg_qnum'], $stat['msg_qbytes']);
echo 'stat: pids ', $stat['msg_lspid'] === getmypid() && $stat['msg_lrpid'] === 0 ? 'right' : 'WRONG',
    ', times ', abs($stat['msg_stime'] - time()) < 60 && $stat['msg_rtime'] === 0 ? 'right' : 'WRONG', "\n";

receive($queue, -3, 1000, true, 0);
receive($queue, -3, 1000, false, MSG_IPC_NOWAIT);
receive($queue, 4, 1000, false, MSG_EXCEPT);
receive($queue, 0, 2, false, MSG_IPC_NOWAIT);
receive($queue, 0, 2, false, MSG_NOERROR);
receive($queue, 0, 1000, false, MSG_IPC_NOWAIT);

outcome('set mode and qbytes', msg_set_queue($queue, ['msg_perm.mode' => 0600, 'msg_qbytes' => 64]));
$stat = msg_stat_queue($queue);
printf("stat: mode %o, qbytes %d\n", $stat['msg_perm.mode'], $stat['msg_qbytes']);
outcome('send 64 bytes', msg_send($queue, 1, str_repeat('y', 64), false, false, $errno), $errno);
outcome('send one more', @msg_send($queue, 1, 'z', false, false, $errno), $errno);

outcome('opened again and removed', msg_remove_queue(msg_get_queue($key)));
echo 'exists after: ', msg_queue_exists($key) ? 'yes' : 'no', "\n";
outcome('send to the removed queue', @msg_send($queue, 1, 'late', false, false, $errno), $errno);
receive($queue, 0, 1000, false, MSG_IPC_NOWAIT);
