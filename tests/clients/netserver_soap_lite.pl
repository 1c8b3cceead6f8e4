# Calls the NetServer services as a program on SOAP::Lite does: messages made by hand, without the WSDL. README.md says what it
# is told and what it prints.
#
#     perl netserver_soap_lite.pl LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID

use strict;
use warnings;
use JSON::PP;
use SOAP::Lite;

my ($license_wsdl, $principal_wsdl, $user, $password, $owner, $associate) = @ARGV;
my $namespace = 'http://www.superoffice.net/ws/crm/NetServer/Services86';
my $arrays = 'http://schemas.microsoft.com/2003/10/Serialization/Arrays';

sub service {
    my ($name, $wsdl) = @_;
    return SOAP::Lite->proxy($wsdl =~ s/\?.*//r, timeout => 60)->default_ns($namespace)
        ->on_action(sub { "\"$namespace/$name/$_[1]\"" });
}

sub text { return SOAP::Data->name($_[0] => $_[1])->type('string') }

my $principal = service(SoPrincipal => $principal_wsdl);
my $license = service(License => $license_wsdl);

sub sign_in { return $principal->call(AuthenticateUsernamePassword => text(UserName => $user), text(Password => $_[0])) }

sub with_ticket {
    my ($ticket, $operation, @arguments) = @_;
    my $header = SOAP::Header->name(Credentials => \text(Ticket => $ticket))->attr({ xmlns => $namespace });
    return $license->call($operation => @arguments, $header);
}

my $login = sign_in($password);
my $ticket = $login->valueof('//Credentials/Ticket');
my $info = with_ticket($ticket, GetLicenseFromLicenseServer => text(OwnerName => $owner));
my $status = with_ticket($ticket, GetLicenseStatusFromLicenseServer => text(OwnerName => $owner));
my $names = SOAP::Data->name(ModuleLicenseNames => \SOAP::Data->value(
    map { text(string => $_)->attr({ xmlns => $arrays }) } 'SQLBACKUP', 'EXCHANGEBACKUP'));
my $assigned = with_ticket($ticket, AssignThirdPartyLicenses =>
    SOAP::Data->name(AssociateId => $associate)->type('int'), text(ModuleOwner => $owner), $names);
my $refused = with_ticket('7T:garbage', GetLicenseStatusFromLicenseServer => text(OwnerName => $owner));
my $again = sign_in("$password?");

sub succeeded { return $_[0]->valueof('//AuthenticationSucceeded') eq 'true' ? JSON::PP::true : JSON::PP::false }

print JSON::PP->new->encode({
    signed_in => succeeded($login),
    ticket => $ticket,
    wrong_password => succeeded($again),
    company => $info->valueof('//Current/CompanyName'),
    expires => $info->valueof('//Response/Current/ExpiryDate'),
    modules => [$info->valueof('//Response/Current/ModuleLicenses/ModuleLicense/ModuleName')],
    free => [map { 0 + $_ } $info->valueof('//ExtendedModuleLicense/NumberOfLicensesFree')],
    status => $status->valueof('//LicenseStatus'),
    assigned => [$assigned->valueof('//ModuleLicenseLink/Name')],
    exception => $refused->valueof('//ExceptionInfo/ExceptionType'),
}), "\n";
