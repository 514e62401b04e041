# Data from packages of Debian 12, the same bytes on every system that has apt: each file that DEBS
# lists is downloaded, checked against its hash and unpacked into RAW, not installed. And the
# embedding that needs no network, raw pixels.
DEBS ?= $(NAME).sha256
PIXELS ?= 32
APT_HELPER ?= /usr/lib/apt/apt-helper
# The mirror that this system uses, where it is Debian; the others are asked for what it lacks.
MIRRORS ?= $(shell apt-get indextargets --format '$$(LABEL) $$(REPO_URI)' 'Created-By: Packages' | \
  sed -n 's/^Debian //p' | head -n 1) http://deb.debian.org/debian/ http://archive.debian.org/debian/

$(RAW)/.unpacked: $(DEBS)
	@mkdir -p $(RAW)
	@while read -r hash file; do \
	  echo "fetching $${file##*/}"; \
	  for mirror in $(MIRRORS); do \
	    $(APT_HELPER) -q -o APT::Sandbox::User=root download-file "$${mirror%/}/$$file" \
	      $(RAW)/package.deb "SHA256:$$hash" && break; \
	  done; \
	  dpkg -x $(RAW)/package.deb $(RAW) && rm -f $(RAW)/package.deb || exit 1; \
	done <$<
	touch $@

$(OUT)/raw-pixels/test.emb.zst: $(OUT)/test.mdb | $(BIN)/ps-embed
	@mkdir -p $(@D)
	$(BIN)/ps-embed --raw-pixels $(PIXELS) $< -o $@

$(OUT)/raw-pixels/metrics.tsv: $(OUT)/raw-pixels/test.emb.zst $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) --tag setting=raw-pixels --tag seed=0 $< -o $@
