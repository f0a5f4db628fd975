package emr

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// newestRelease is the newest release label that is known here.
const newestRelease = "emr-7.13.0"

// sparkOf are the Spark versions of releases, by their major and minor numbers.
var sparkOf = map[string]string{
	"7.13": "3.5.6", "7.12": "3.5.6", "7.11": "3.5.6", "7.10": "3.5.5", "7.9": "3.5.5", "7.8": "3.5.4", "7.7": "3.5.3", "7.6": "3.5.3", "7.5": "3.5.2", "7.4": "3.5.2",
	"7.3": "3.5.1", "7.2": "3.5.1", "7.1": "3.5.0", "7.0": "3.5.0", "6.15": "3.4.1", "6.14": "3.4.1", "6.13": "3.4.1", "6.12": "3.4.0", "6.11": "3.3.2", "6.10": "3.3.1",
	"6.9": "3.3.0", "6.8": "3.3.0", "6.7": "3.2.1", "6.6": "3.2.0", "6.5": "3.1.2", "6.4": "3.1.2", "6.3": "3.1.1", "6.2": "3.0.1", "6.1": "3.0.0", "6.0": "2.4.4",
}

// newest are the highest minor numbers of the major ones.
var newest = map[int]int{7: 13, 6: 15, 5: 36, 4: 9}

// sparkReleases are the labels that are named after Spark.
var sparkReleases = map[string]string{"emr-spark-8.0.0": "4.0.2"}

var releaseLabel = regexp.MustCompile(`^emr-(\d+)\.(\d+)\.(\d+)$`)

// release reads a label's numbers.
func release(label string) (major, minor int, ok bool) {
	m := releaseLabel.FindStringSubmatch(label)
	if m == nil {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	return major, minor, err1 == nil && err2 == nil
}

func knownRelease(label string) bool {
	if _, ok := sparkReleases[label]; ok {
		return true
	}
	major, minor, ok := release(label)
	top, known := newest[major]
	return ok && known && minor <= top
}

// atLeast tells whether a label is of a release that is as new as that.
func atLeast(label string, major, minor int) bool {
	if _, ok := sparkReleases[label]; ok {
		return true
	}
	a, b, ok := release(label)
	return ok && (a > major || a == major && b >= minor)
}

// version is that of an application in a release, where it is known.
func version(label, application string) string {
	if !strings.EqualFold(application, "spark") {
		return ""
	}
	if v, ok := sparkReleases[label]; ok {
		return v
	}
	major, minor, _ := release(label)
	return sparkOf[fmt.Sprintf("%d.%d", major, minor)]
}

// releaseLabels are the labels, the newest first.
func releaseLabels() (out []string) {
	out = append(out, "emr-spark-8.0.0")
	for major := 7; major >= 4; major-- {
		for minor := newest[major]; minor >= 0; minor-- {
			out = append(out, fmt.Sprintf("emr-%d.%d.0", major, minor))
		}
	}
	return out
}

// sizes are instance sizes with their normalised hours, which are AWS's; so many are half the
// number of cores times four.
var sizes = []struct {
	name  string
	hours float64
}{{"nano", 0.25}, {"micro", 0.5}, {"small", 1}, {"medium", 2}, {"large", 4}, {"xlarge", 8}}

// normal is how many normalised hours an hour of an instance counts.
func normal(kind string) float64 {
	_, size, _ := strings.Cut(kind, ".")
	for _, s := range sizes {
		if s.name == size {
			return s.hours
		}
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(size, "xlarge")); err == nil {
		return 8 * float64(n)
	}
	return 8
}

// families are instance families with their memory, in GiB, for each core.
var families = []struct {
	name string
	gib  float32
	arch string
	ebs  bool
}{{"m5", 4, "X86_64", true}, {"m6i", 4, "X86_64", true}, {"m6g", 4, "AARCH64", true}, {"m7g", 4, "AARCH64", true}, {"c5", 2, "X86_64", true}, {"c6g", 2, "AARCH64", true}, {"r5", 8, "X86_64", true}, {"r6g", 8, "AARCH64", true}}

func instanceTypes() (out []types.SupportedInstanceType) {
	for _, f := range families {
		for _, n := range []int32{1, 2, 4, 8, 12, 16} {
			size := "xlarge"
			if n > 1 {
				size = fmt.Sprintf("%dxlarge", n)
			}
			cores := 4 * n
			out = append(out, types.SupportedInstanceType{
				Type: ptr(f.name + "." + size), VCPU: &cores, MemoryGB: ptr(float32(cores) * f.gib), Architecture: ptr(f.arch), InstanceFamilyId: ptr(f.name),
				EbsOptimizedAvailable: ptr(true), EbsOptimizedByDefault: ptr(true), EbsStorageOnly: ptr(f.ebs), Is64BitsOnly: ptr(true), NumberOfDisks: ptr(int32(0)), StorageGB: ptr(int32(0)),
			})
		}
	}
	return out
}
