package webpage

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// Whatever a file of the page names is there, and its type is known.
func TestFilesAreThere(t *testing.T) {
	names := regexp.MustCompile(`(?:src|href)="page/([^"]+)"|from "\./([^"]+)"`)
	seen := 0
	for name, f := range files() {
		if f.Type == "" || len(f.Content) == 0 {
			t.Errorf("%s has the type %q and %d bytes", name, f.Type, len(f.Content))
		}
		for _, m := range names.FindAllStringSubmatch(string(f.Content), -1) {
			seen++
			if _, ok := Lookup(m[1] + m[2]); !ok {
				t.Errorf("%s names %s, which is not there", name, m[1]+m[2])
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d names were seen only", seen)
	}
	if _, ok := Lookup("../page.go"); ok {
		t.Error("a file outside is found")
	}
}

// Nothing of the page makes HTML of a string, runs one, or has what the policy refuses.
func TestTextStaysText(t *testing.T) {
	refused := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc|javascript:|https?://`)
	inline := regexp.MustCompile(`<script>|<style|\son[a-z]+=|style="`)
	for name, f := range files() {
		if m := refused.Find(f.Content); m != nil && path.Ext(name) != ".svg" { // whose namespace is an address
			t.Errorf("%s has %q", name, m)
		}
		if path.Ext(name) == ".html" {
			if m := inline.Find(f.Content); m != nil {
				t.Errorf("%s has %q", name, m)
			}
		}
	}
	for _, must := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(Policy, must) {
			t.Errorf("the policy lacks %s", must)
		}
	}
	if strings.Contains(Policy, "unsafe") || strings.Contains(Policy, "data:") {
		t.Errorf("the policy is %s", Policy)
	}
}
