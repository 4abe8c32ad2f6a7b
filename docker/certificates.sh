#!/bin/sh
# Certificates for compose.tls.yaml: an authority, one certificate that it signed, and the key of that, in PEM.
# Usage: docker/certificates.sh [FOLDER]; FOLDER is docker/certificates if not given. Run it again for new ones.
set -eu
folder=${1:-$(dirname "$0")/certificates}

# Nobody else may enter the folder on this machine. The files in it can be read by anybody, since containers get them
# one by one, and run as a user who may not be you.
umask 077
mkdir -p "$folder"
cd "$folder"
rm -f ca.pem certificate.pem key.pem

# The authority's key is used once and removed: there is nothing left to sign with.
trap 'rm -f ca.key request.pem extensions' EXIT
openssl req -x509 -newkey rsa:3072 -noenc -days 825 -subj "/CN=daskelm authority" -keyout ca.key -out ca.pem 2>/dev/null
openssl req -new -newkey rsa:3072 -noenc -subj "/CN=daskelm" -keyout key.pem -out request.pem 2>/dev/null
echo "subjectAltName = DNS:scheduler, DNS:worker, DNS:notebook" > extensions
openssl x509 -req -in request.pem -days 825 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions \
    -out certificate.pem 2>/dev/null
rm -f ca.srl
chmod 644 ca.pem certificate.pem key.pem
echo "$folder: ca.pem, certificate.pem and key.pem, good for 825 days"
