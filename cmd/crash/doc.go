// Package crash breaks the whole way from the sources to the invoice, again
// and again, and shows that nothing which was acknowledged is lost or doubled:
// its tests are the crash campaign.
package crash
