# A build and the tests in a chroot of Debian 13, as root. It is made by debootstrap and kept.
TRIXIE ?= /var/tmp/proxy-synthesis-trixie
.PHONY: check-trixie
check-trixie:
	tests/trixie.sh $(TRIXIE)
