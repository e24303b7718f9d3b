package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
)

// split is what a file says of the parts of its model, as llama.cpp's gguf-split writes it;
// the first part has the metadata, and each some of the tensors.
type split struct {
	no      int // of this part, from 0
	count   int // of parts; 0: the file is whole
	tensors int // of all parts
}

// parseSplit reads the keys that parts have.
func (f *File) parseSplit() error {
	if !f.Has("split.count") {
		return nil
	}
	for key, to := range map[string]*int{"split.count": &f.split.count, "split.no": &f.split.no, "split.tensors.count": &f.split.tensors} {
		n, err := f.Uint(key)
		if err != nil {
			return err
		}
		if n > 1<<31-1 {
			return fmt.Errorf("%s: key %q is %d; %s", f.path, key, n, damaged)
		}
		*to = int(n)
	}
	if f.split.count > 0 && f.split.no >= f.split.count {
		return fmt.Errorf("%s says that it is part %d of %d; %s", f.path, f.split.no+1, f.split.count, damaged)
	}
	return nil
}

var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// PartName returns the path of part no, from 1, of the model in several files that path is a
// part of, and how many it has; ok is false where path has no such name.
func PartName(path string, no int) (name string, count int, ok bool) {
	m := partName.FindStringSubmatch(path)
	if m == nil {
		return path, 1, false
	}
	count, _ = strconv.Atoi(m[3])
	return fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], no, m[3]), count, true
}

// join opens the other parts of a model and returns the first with the tensors of all. It
// closes f where that fails.
func (f *File) join() (*File, error) {
	all, err := f.parts()
	if err == nil {
		err = all[0].take(all[1:])
	}
	if err != nil {
		for _, p := range all {
			err = errors.Join(err, p.Close())
		}
		return nil, err
	}
	return all[0], nil
}

// parts opens the parts in their order, f among them. Also with an error it returns those
// that are open.
func (f *File) parts() ([]*File, error) {
	all := []*File{f}
	if _, count, ok := PartName(f.path, 1); !ok || count != f.split.count {
		return all, fmt.Errorf("%s is part %d of %d of a model and not named so: the parts must keep their names, NAME-00001-of-%05d.gguf and so on, and lie side by side",
			f.path, f.split.no+1, f.split.count, f.split.count)
	}
	all = nil
	for no := range f.split.count {
		if no == f.split.no {
			all = append(all, f)
			continue
		}
		name, _, _ := PartName(f.path, no+1)
		part, err := openOne(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is part %d of %d of a model, and part %d, %s, is missing: download it too", f.path, f.split.no+1, f.split.count, no+1, name)
		}
		if err == nil {
			all = append(all, part)
			if s := part.split; s.no != no || s.count != f.split.count {
				err = fmt.Errorf("%s says that it is part %d of %d, and its name says %d of %d; download it again", name, s.no+1, max(1, s.count), no+1, f.split.count)
			}
		}
		if err != nil {
			if no < f.split.no {
				all = append(all, f)
			}
			return all, err
		}
	}
	return all, nil
}

// take makes the tensors of other parts those of the first.
func (f *File) take(others []*File) error {
	for _, other := range others {
		for _, t := range other.tensors {
			if _, twice := f.index[t.Name]; twice {
				return fmt.Errorf("%s: tensor %q is in another part too: the parts are not of one model; download them again", other.path, t.Name)
			}
			f.index[t.Name] = len(f.tensors)
			f.tensors = append(f.tensors, t)
		}
	}
	if len(f.tensors) != f.split.tensors {
		return fmt.Errorf("%s: the %d parts have %d tensors together, and it says %d: the parts are not of one model; download them again",
			f.path, f.split.count, len(f.tensors), f.split.tensors)
	}
	f.others = others
	return nil
}
