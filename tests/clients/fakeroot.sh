#!/bin/sh
# fakeroot-sysv (Debian): faked-sysv and libfakeroot-sysv.so talk over two message queues
# that a semaphore guards.
# user: nobody
# beside: sem
#
# It runs as nobody, because root's real chown would succeed and prove nothing.
# fakeroot puts its own library in front of what LD_PRELOAD already holds, so ours stays loaded.
set -eu
umask 022
# In a user namespace a real chown fails with EINVAL, which fakeroot does not expect.
export FAKEROOTDONTTRYCHOWN=1

mkdir -p tree/bin tree/dev tree/home
echo program >tree/bin/program
echo secret >tree/home/secret
ln -s program tree/bin/alias
fakeroot-sysv -- sh -eu -c '
	echo "I seem to be $(id -u):$(id -g)"
	chown -R 0:0 tree
	chown 1234:5678 tree/home/secret
	chmod 4755 tree/bin/program
	chmod 600 tree/home/secret
	mknod tree/dev/null c 1 3
	mknod tree/dev/sda b 8 0
	mkfifo tree/dev/pipe
	for number in 1 2 3 4 5 6 7 8 9 10; do
		echo "$number" >"tree/home/$number"
		chown "$number:$number" "tree/home/$number" &
	done
	wait
	stat -c "%n %u:%g %f %t,%T" tree/*/*
	tar --create --sort=name --mtime=@0 --file=tree.tar tree
'
echo "in truth I am $(id -u):$(id -g)"
find tree \( ! -user "$(id -u)" -o -type b -o -type c \) -printf 'not faked: %p\n'
TZ=UTC tar --list --verbose --numeric-owner --file=tree.tar
cksum <tree.tar
