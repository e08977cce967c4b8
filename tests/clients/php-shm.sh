#!/bin/sh
# PHP: the sysvshm extension, which php dlopens with RTLD_DEEPBIND.
# needs: shm
exec php "${0%/*}/sysvshm.php"
