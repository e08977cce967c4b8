#!/bin/sh
# PHP: the sysvmsg extension, which php dlopens with RTLD_DEEPBIND.
exec php "${0%/*}/sysvmsg.php"
