#!/bin/bash
# fio with mem=shm: its buffers are System V segments; the data are written, read back and verified.
# needs: shm
set -eu
fio --name=job --filename=file --size=4m --bs=16k --rw=randrw --verify=crc32c --mem=shm \
	--numjobs=1 --ioengine=psync --output-format=json --output=report --randseed=1
# What was done, not how fast.
perl -MJSON::PP -0777 -ne 's/^[^{]*//; my $j = decode_json($_)->{jobs}[0];
	printf "error %d, read %d, written %d\n", $j->{error}, $j->{read}{total_ios}, $j->{write}{total_ios}' report
fio --name=many --filename=many --size=1m --bs=4k --rw=write --verify=md5 --mem=shm --iodepth=4 \
	--numjobs=3 --ioengine=sync --output=report2 --filename_format='many.$jobnum' && echo "three at once: ok"
if ipcs -m | grep '^0x'; then
	exit 1
fi
echo "no segment is left"
