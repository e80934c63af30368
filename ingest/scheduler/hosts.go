package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// hostLimit bounds a job's nodes: Slurm itself has no clusters beyond 65536.
const hostLimit = 1 << 16

// expandHosts returns the names that a Slurm host list stands for, in its
// order: "n[1-3,5],login" is n1, n2, n3, n5 and login. A range whose first
// number is written with leading zeros keeps their width. It is an error if a
// host is named twice.
func expandHosts(list string) ([]string, error) {
	fail := func(format string, args ...any) ([]string, error) {
		return nil, fmt.Errorf("NodeList %.64q: %s", list, fmt.Sprintf(format, args...))
	}
	if list == "" || list == noNodes {
		return fail("the job held GPUs on no node")
	}
	var all []string
	for rest := list; rest != ""; {
		element, after, ok := cutElement(rest)
		if !ok {
			return fail("brackets do not pair, or a name is empty")
		}
		rest = after
		names, err := expandElement(element, hostLimit-len(all))
		if err != nil {
			return fail("%v", err)
		}
		all = append(all, names...)
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	for i, name := range sorted[1:] {
		if sorted[i] == name {
			return fail("%s is there twice", name)
		}
	}
	return all, nil
}

// cutElement cuts the first of the names that are separated by commas outside
// of brackets. It reports false where brackets do not pair or a name is empty.
func cutElement(list string) (element, rest string, ok bool) {
	open := false
	for i := range len(list) {
		switch c := list[i]; {
		case c == '[' && !open:
			open = true
		case c == ']' && open:
			open = false
		case c == '[' || c == ']':
			return "", "", false
		case c == ',' && !open:
			return list[:i], list[i+1:], i > 0 && i+1 < len(list)
		}
	}
	return list, "", !open
}

// expandElement expands one name with any number of brackets, to at most limit
// names.
func expandElement(element string, limit int) ([]string, error) {
	names := []string{""}
	for element != "" {
		plain, bracket, found := strings.Cut(element, "[")
		for i := range len(plain) {
			if c := plain[i]; !isHostCharacter(c) {
				return nil, fmt.Errorf("character %q cannot be in a name", c)
			}
		}
		numbers := []string{""}
		if element = ""; found {
			ranges, rest, _ := strings.Cut(bracket, "]")
			element = rest
			var err error
			if numbers, err = expandRanges(ranges, limit/len(names)); err != nil {
				return nil, err
			}
		}
		longer := make([]string, 0, len(names)*len(numbers))
		for _, name := range names {
			for _, number := range numbers {
				longer = append(longer, name+plain+number)
			}
		}
		names = longer
	}
	if len(names) > limit {
		return nil, fmt.Errorf("more than %d names", hostLimit)
	}
	return names, nil
}

func isHostCharacter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// expandRanges expands what stands in brackets, "1-3,05", to at most limit
// numbers.
func expandRanges(ranges string, limit int) ([]string, error) {
	var all []string
	for part := range strings.SplitSeq(ranges, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		lo, err := parseNumber(first)
		if err != nil {
			return nil, err
		}
		hi, err := parseNumber(last)
		if err != nil {
			return nil, err
		}
		switch {
		case lo > hi:
			return nil, fmt.Errorf("range %s runs backwards", part)
		case hi-lo >= limit-len(all):
			return nil, fmt.Errorf("more than %d names", hostLimit)
		}
		for n := lo; n <= hi; n++ {
			all = append(all, fmt.Sprintf("%0*d", len(first), n))
		}
	}
	return all, nil
}

// parseNumber reads the number of a host: up to nine digits.
func parseNumber(s string) (int, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("%.16q is not a number", s)
		}
	}
	if s == "" || len(s) > 9 {
		return 0, fmt.Errorf("%.16q is not a number", s)
	}
	return strconv.Atoi(s)
}
