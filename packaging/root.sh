#!/bin/sh
# Makes the root of the container beside the program: certificates of the web, a user, and
# the folders that it writes to.
#
#     sh packaging/root.sh DIR CERTIFICATES
set -eu
mkdir -p "$1/etc/ssl/certs" "$1/data" "$1/tmp"
cp "$2" "$1/etc/ssl/certs/ca-certificates.crt"
echo "flashback:x:65532:65532::/data:/flashback" >"$1/etc/passwd"
echo "flashback:x:65532:" >"$1/etc/group"
chmod 1777 "$1/tmp"
