# make install: programs, recipes, man pages, completions, the CUDA plugin where it was built, and the library
# for other programs, shared and static, with its headers under ps/. Debian's pslib has the name libps.
LIBDIR ?= $(PREFIX)/lib
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
SONAME := libproxy-synthesis.so.0
SHARED := libproxy-synthesis.so.$(VERSION)
# What a program includes to embed pictures (tests/example/embed.c); what these include follows.
PUBLIC := base/err.h base/file.h base/log.h data/image.h data/transform.h net/device.h net/model.h
HEADERS = $(filter %.h,$(shell $(CC) -std=c11 $(INCLUDE) $(PUBLIC:%=-include %) -MM -x c /dev/null))
TO = $(DESTDIR)$(PREFIX)
TO_LIB = $(DESTDIR)$(LIBDIR)

# Our programs give FAISS a faster matrix product, the static library none.
$(TOOLS) $(HELPERS) $(UNIT) $(BACKEND_TESTS) $(BENCH) $(FUZZ): $(BLAS_OBJ)

$(BUILD)/$(SHARED): $(LIB_OBJ) $(BLAS_OBJ) tools/libps.map
	$(CC) $(VARIANT) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=tools/libps.map \
	  -Wl,-Bsymbolic,-z,defs $(filter %.o,$^) $(LDLIBS) -o $@

$(BUILD)/proxy-synthesis.pc: tools/proxy-synthesis.pc.in FORCE
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	  -e 's|@LIBS@|$(filter-out $(LDFLAGS),$(LDLIBS))|' $< >$@

# Completions for bash and zsh, from the option tables of the programs.
NAMES := $(notdir $(TOOLS))
COMPLETIONS := $(NAMES:%=$(BUILD)/completions/bash/%) $(NAMES:%=$(BUILD)/completions/zsh/_%)
$(BUILD)/completions/%.options: $(BUILD)/bin/%
	@mkdir -p $(@D)/bash $(@D)/zsh
	$< --print-options >$@

COMPLETE = awk -v tool=$(basename $(<F)) -v shell=$(1) -f tools/completion.awk $< >$@
$(BUILD)/completions/bash/%: $(BUILD)/completions/%.options tools/completion.awk
	$(call COMPLETE,bash)

$(BUILD)/completions/zsh/_%: $(BUILD)/completions/%.options tools/completion.awk
	$(call COMPLETE,zsh)

.PHONY: FORCE install
install: $(COMPLETIONS) all $(BUILD)/$(SHARED) $(BUILD)/proxy-synthesis.pc
	install -d "$(TO)/bin" "$(TO_LIB)/pkgconfig" "$(DESTDIR)$(BASH_COMPLETIONS)" \
	  "$(DESTDIR)$(ZSH_COMPLETIONS)"
	install -m 755 $(TOOLS) "$(TO)/bin"
	install -m 644 $(filter $(BUILD)/completions/bash/%,$(COMPLETIONS)) "$(DESTDIR)$(BASH_COMPLETIONS)"
	install -m 644 $(filter $(BUILD)/completions/zsh/%,$(COMPLETIONS)) "$(DESTDIR)$(ZSH_COMPLETIONS)"
	install -d "$(TO)/share/proxy-synthesis/recipes"
	install -m 644 $(RECIPES) "$(TO)/share/proxy-synthesis/recipes"
	for page in $(MAN); do install -D -m 644 $$page \
	  "$(TO)/share/man/man$${page##*.}/$${page##*/}" || exit; done
	for plugin in $(BUILD)/bin/ps-*.so; do [ ! -e "$$plugin" ] || \
	  install -D -m 755 "$$plugin" "$(TO)/lib/ps/$${plugin##*/}" || exit; done
	install -m 644 $(BUILD)/$(SHARED) "$(TO_LIB)"
	ln -sf $(SHARED) "$(TO_LIB)/$(SONAME)"
	ln -sf $(SONAME) "$(TO_LIB)/libproxy-synthesis.so"
	install -m 644 $(BUILD)/libps.a "$(TO_LIB)/libproxy-synthesis.a"
	install -m 644 $(BUILD)/proxy-synthesis.pc "$(TO_LIB)/pkgconfig"
	for header in $(HEADERS); do file="$(TO)/include/ps/$${header#lib/}"; \
	  mkdir -p "$${file%/*}" && sed 's|^#include "\(.*\)"|#include <ps/\1>|' $$header >"$$file" && \
	  chmod 644 "$$file" || exit; done
