# A build and the tests in a chroot of Debian 13, as root. It is made by debootstrap and kept.
TRIXIE ?= /var/tmp/proxy-synthesis-trixie
RELEASE := proxy-synthesis-$(VERSION)
.PHONY: check-trixie check-hosts dist deb
check-hosts: all
	BUILD="$(abspath $(BUILD))" tests/hosts.sh

check-trixie:
	tests/trixie.sh "$(TRIXIE)"

# What is committed, as a tarball: the same bytes from the same commit.
dist:
	@mkdir -p $(BUILD)
	git archive --prefix=$(RELEASE)/ HEAD | gzip -n -9 >$(BUILD)/$(RELEASE).tar.gz
	@echo $(BUILD)/$(RELEASE).tar.gz

# Debian packages of it, in $(BUILD)/deb. Needs debhelper; lintian looks at them where it is installed.
# The maintainers' address in debian/ is a placeholder: whoever publishes the packages puts theirs.
deb: dist
	@[ "$$(dpkg-parsechangelog -S Version)" = $(VERSION) ] || \
	  { echo "deb: debian/changelog is not of version $(VERSION)" >&2; exit 1; }
	rm -rf $(BUILD)/deb
	mkdir -p $(BUILD)/deb
	tar -C $(BUILD)/deb -xf $(BUILD)/$(RELEASE).tar.gz
	cd $(BUILD)/deb/$(RELEASE) && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u BUILD \
	  dpkg-buildpackage --build=binary --no-sign
	rm -rf $(BUILD)/deb/$(RELEASE)
	! command -v lintian >/dev/null || lintian --allow-root --fail-on error \
	  --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog $(BUILD)/deb/*.changes
