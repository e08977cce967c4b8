#!/bin/sh
# PHP: the sysvsem extension, which php dlopens with RTLD_DEEPBIND.
# needs: sem
exec php "${0%/*}/sysvsem.php"
