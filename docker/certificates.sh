#!/bin/sh
# Makes PEM files for compose.tls.yaml: an authority, a certificate signed by it, and the key of the certificate.
# Usage: docker/certificates.sh [FOLDER]; FOLDER is docker/certificates if not given. Run it again for new certificates.
set -eu
folder=${1:-$(dirname "$0")/certificates}

# Other users of this machine may not enter the folder. All may read the files in it, since containers get them one by
# one, and run as a user who may not be you.
umask 077
mkdir -p "$folder"
cd "$folder"
rm -f ca.pem certificate.pem key.pem

# The authority's key is used once and removed, so that no other certificate can be signed with it.
trap 'rm -f ca.key request.pem extensions' EXIT
openssl req -x509 -newkey rsa:3072 -noenc -days 825 -subj "/CN=daskelm authority" -keyout ca.key -out ca.pem 2>/dev/null
openssl req -new -newkey rsa:3072 -noenc -subj "/CN=daskelm" -keyout key.pem -out request.pem 2>/dev/null
echo "subjectAltName = DNS:scheduler, DNS:worker, DNS:notebook" > extensions
openssl x509 -req -in request.pem -days 825 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions \
    -out certificate.pem 2>/dev/null
rm -f ca.srl
chmod 644 ca.pem certificate.pem key.pem
echo "$folder: ca.pem, certificate.pem and key.pem, good for 825 days"
